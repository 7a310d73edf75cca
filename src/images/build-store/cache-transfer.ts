/**
 * Takes steps out of a build cache that is elsewhere, and writes one. A layer is fetched only for a step that wants it,
 * and is in the store only when it is what its digests say; whoever records the step does so afterwards.
 */
import { rm, stat } from 'node:fs/promises';
import type { Paths } from '../../paths.ts';
import { makeTmpFolder, tmpPath } from '../../state/tmp-folder.ts';
import { ingestLayer } from '../layers/ingest.ts';
import { assertWhole } from '../layers/whole.ts';
import { compressLayer } from '../layer-blobs.ts';
import { sha256 } from '../store/blobs.ts';
import type { CacheCompression, Layer } from '../store/contract.ts';
import { OCI_LAYER, OCI_LAYER_GZIP, OCI_LAYER_ZSTD, type Descriptor } from '../store/manifest.ts';
import { inParallel } from '../store/parallel.ts';
import type { ImageRecords } from '../store/records.ts';
import { CACHE_CONFIG, cacheConfig, cacheManifest, readCacheManifest } from './cache-manifest.ts';
import type { CachedStep, RemoteStep } from './cache-manifest.ts';
import type { CachePlace } from './cache-place.ts';

export interface TransferContext {
  paths: Paths;
  records: Pick<ImageRecords, 'recordLayer' | 'presentLayer'>;
  /** bytes that a layer may have, uncompressed */
  maxLayerSize: number;
  /** how many layers are written at once */
  concurrency: number;
}

/** @returns the steps that a cache has @throws HuskError `not-found`, `corrupt`, `unsupported`, `unavailable` */
export async function readSteps(place: CachePlace, signal: AbortSignal): Promise<RemoteStep[]> {
  const { config, steps } = readCacheManifest(await place.manifest(), place.name);
  const chunks: Uint8Array[] = [];
  for await (const chunk of place.blob(config, { signal })) chunks.push(chunk);
  return steps(Buffer.concat(chunks));
}

/** Puts a step's layer into the store. @throws HuskError `corrupt` where it is not what its digests say */
export async function fetchLayer(
  place: CachePlace,
  { diffId, blob }: RemoteStep,
  { paths, records, maxLayerSize }: TransferContext,
  { onBytes, signal }: { onBytes: (current: number, total: number) => void; signal: AbortSignal },
): Promise<{ diffId: string; size: number }> {
  const here = records.presentLayer(diffId);
  if (here !== undefined) return { diffId, size: here };
  makeTmpFolder(paths);
  const layer = await ingestLayer({
    source: place.blob(blob, { onBytes: (current) => onBytes(current, blob.size), signal }),
    diffId,
    tmp: paths.tmp,
    layersDir: paths.layers,
    maxSize: maxLayerSize,
    signal,
  });
  records.recordLayer(layer);
  return layer;
}

/** Writes a cache. What is there of it already is not sent again. @param onMessage is told of each layer */
export async function writeSteps(
  place: CachePlace,
  steps: readonly (CachedStep & { layer: Layer })[],
  context: TransferContext,
  {
    compression,
    onMessage,
    signal,
  }: {
    compression: CacheCompression;
    onMessage: (text: string) => void;
    signal: AbortSignal;
  },
): Promise<void> {
  const layers = [...new Map(steps.map(({ layer }) => [layer.diffId, layer])).values()];
  const before = await blobsBefore(place, signal);
  const blobs = new Map<string, Descriptor>();
  makeTmpFolder(context.paths);
  await inParallel(layers, { limit: context.concurrency, signal }, async (layer, each) => {
    const known = before.get(layer.diffId);
    const isThere = known !== undefined && known.mediaType === MEDIA_TYPES[compression] && (await place.has(known));
    onMessage(`${isThere ? 'has' : 'writing'} layer ${layer.diffId}`);
    blobs.set(
      layer.diffId,
      isThere ? known : await writeLayer(place, layer, { ...context, compression, signal: each }),
    );
  });
  const config = cacheConfig(
    steps,
    layers.map(({ diffId }) => diffId),
  );
  onMessage('writing cache manifest');
  const descriptor = { mediaType: CACHE_CONFIG, digest: sha256(config), size: config.length };
  if (!(await place.has(descriptor))) await place.put(descriptor, { bytes: config }, signal);
  await place.putManifest(
    cacheManifest(
      config,
      layers.map(({ diffId }) => blobs.get(diffId)!),
    ),
  );
}

const MEDIA_TYPES: Record<CacheCompression, string> = {
  uncompressed: OCI_LAYER,
  gzip: OCI_LAYER_GZIP,
  zstd: OCI_LAYER_ZSTD,
};

/** @returns the blobs of the cache that is replaced, by diffID; a place without one, or with another's, has none */
async function blobsBefore(place: CachePlace, signal: AbortSignal): Promise<Map<string, Descriptor>> {
  try {
    return new Map((await readSteps(place, signal)).map(({ diffId, blob }) => [diffId, blob]));
  } catch {
    signal.throwIfAborted();
    return new Map();
  }
}

async function writeLayer(
  place: CachePlace,
  layer: Layer,
  { paths, compression, signal }: TransferContext & { compression: CacheCompression; signal: AbortSignal },
): Promise<Descriptor> {
  assertWhole(layer);
  const mediaType = MEDIA_TYPES[compression];
  if (compression === 'uncompressed') {
    const descriptor = { mediaType, digest: layer.diffId, size: layer.size };
    if (!(await place.has(descriptor))) await place.put(descriptor, { file: layer.tar }, signal);
    return descriptor;
  }
  const file = tmpPath(paths, 'half-blob');
  try {
    const digest = await compressLayer(layer.tar, file, { by: compression, signal });
    const descriptor = { mediaType, digest, size: (await stat(file)).size };
    if (!(await place.has(descriptor))) await place.put(descriptor, { file }, signal);
    return descriptor;
  } finally {
    await rm(file, { force: true });
  }
}
