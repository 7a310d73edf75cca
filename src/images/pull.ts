/**
 * Pull: resolves a reference at its registry (or a mirror of it), fetches the layers that are missing in parallel, and
 * commits the image record last, in one transaction. This module prints nothing: it reports progress to the caller in
 * Docker's words.
 */
import { causeOf, HuskError } from '../errors.ts';
import { makeTmpFolder } from '../state/tmp-folder.ts';
import type { Paths } from '../paths.ts';
import { blobStream, removePartial, smallBlob } from './blob-stream.ts';
import type { Blobs } from './store/blobs.ts';
import type { Claims } from './store/claims.ts';
import type { Asking, Image, Platform, Progress } from './store/contract.ts';
import { ingestLayer } from './layers/ingest.ts';
import type { Descriptor, Manifest } from './store/manifest.ts';
import { NotAnImage, parseImageConfig, parseManifest } from './store/manifest.ts';
import { inParallel } from './store/parallel.ts';
import { chooseEntry, formatPlatform, hostPlatform, mayBeImage, serves } from './store/platform.ts';
import type { ImageRecords } from './store/records.ts';
import { LayerGone } from './store/records.ts';
import type { Reference } from './store/reference.ts';
import { familiarReference, fullName, nameKey, shortId } from './store/reference.ts';
import type { FetchedManifest } from './registry/client.ts';
import { Repository } from './registry/client.ts';
import type { Endpoint } from './registry/endpoints.ts';
import type { Transport } from './registry/transport.ts';

/** ms between two progress reports of one layer */
const PROGRESS_INTERVAL_MS = 100;
/** how often layers are fetched: a concurrent `rmi` may remove a fetched layer before the commit */
const COMMIT_ATTEMPTS = 3;

/** tries of a request to a mirror; few, because another registry is tried after it */
const MIRROR_ATTEMPTS = 2;

export interface PullContext {
  paths: Paths;
  blobs: Blobs;
  records: ImageRecords;
  claims: Claims;
  transport: Transport;
  endpoints: Endpoint[];
  /** how many layers are fetched at once */
  concurrency: number;
  /** bytes that a layer may have, uncompressed */
  maxLayerSize: number;
  env: NodeJS.ProcessEnv;
}

export interface PullRequest extends Asking {
  /** the image to pull, with a tag or a digest */
  reference: Reference;
  /** the platform that `--platform` asked for */
  platform?: Platform;
  /** whether the tag names the image here afterwards. @default true */
  isNamed?: boolean | undefined;
  onProgress: (progress: Progress) => void;
  signal?: AbortSignal;
}

export interface Pulled {
  id: string;
  /** digest of what the reference named: of the index, where there is one */
  digest: string;
  upToDate: boolean;
}

/** Pulls one reference. An aborted pull rejects with the signal's reason, whatever step it interrupted. */
export async function pull(context: PullContext, request: PullRequest): Promise<Pulled> {
  try {
    return await pullFromFirst(context, request);
  } catch (error) {
    request.signal?.throwIfAborted();
    throw error;
  }
}

/** Tries the mirrors first; a mirror's failure does not fail the pull. */
async function pullFromFirst(context: PullContext, request: PullRequest): Promise<Pulled> {
  const { endpoints, transport, env } = context;
  const wanted = request.reference.digest ?? request.reference.tag!;
  for (const [index, endpoint] of endpoints.entries()) {
    const isMirror = index < endpoints.length - 1;
    const attempts = isMirror ? MIRROR_ATTEMPTS : undefined;
    const repository = new Repository({
      transport,
      endpoint,
      path: request.reference.path,
      env,
      credentials: request.credentials,
      isMirror,
      attempts,
      signal: request.signal,
    });
    let top: FetchedManifest;
    try {
      top = await repository.manifest(wanted);
    } catch (error) {
      if (isMirror && error instanceof HuskError && !request.signal?.aborted) continue;
      throw error;
    }
    // This line comes only after a registry has answered, as in Docker.
    request.onProgress({ id: wanted, status: `Pulling from ${request.reference.path}` });
    return pullFrom(repository, top, context, request);
  }
  throw new HuskError(`no registry to pull ${familiarReference(request.reference)} from`, { kind: 'internal' });
}

async function pullFrom(
  repository: Repository,
  top: FetchedManifest,
  context: PullContext,
  request: PullRequest,
): Promise<Pulled> {
  const { records, blobs } = context;
  const { reference } = request;
  const { manifest, bytes } = await resolvePlatform(repository, top, request.platform ?? hostPlatform());
  const byDigest = `${fullName(reference)}@${top.digest}`;
  const names = request.isNamed === false ? [byDigest] : [nameKey(reference), byDigest];
  const known = records.load(manifest.config.digest);
  // A damaged blob may have been removed; the image is whole only when all its blobs and layers are still there.
  const whole =
    known !== undefined &&
    blobs.has(known.id) &&
    blobs.has(records.manifestDigest(known.id) ?? '') &&
    known.layers.every(({ diffId }) => records.presentLayer(diffId) !== undefined);
  if (known && whole) {
    checkPlatform(known.config, request, repository);
    const upToDate = records.idOfName(names[0]!) === known.id;
    records.setNames(names, known.id);
    return { id: known.id, digest: top.digest, upToDate };
  }
  const configBytes = await fetchConfig(repository, manifest.config, blobs);
  const config = parseImageConfig(configBytes, `the config ${manifest.config.digest}`);
  const { diff_ids: diffIds } = config.rootfs;
  if (diffIds.length !== manifest.layers.length)
    throw new HuskError(
      `the config ${manifest.config.digest} has ${diffIds.length} diff_ids, its manifest ${manifest.layers.length} layers`,
      { kind: 'corrupt' },
    );
  checkPlatform(config, request, repository);
  const layers = manifest.layers.map((descriptor, index) => ({ descriptor, diffId: diffIds[index]! }));
  for (let attempt = 1; ; attempt++) {
    await fetchLayers(repository, layers, context, request);
    try {
      const id = records.add({
        config: configBytes,
        manifest: bytes,
        layers: layers.map(({ descriptor, diffId }) => ({
          diffId,
          digest: descriptor.digest,
          mediaType: descriptor.mediaType,
          compressedSize: descriptor.size,
        })),
        names,
      });
      return { id, digest: top.digest, upToDate: false };
    } catch (error) {
      if (!(error instanceof LayerGone) || attempt === COMMIT_ATTEMPTS) throw error;
    }
  }
}

/** Follows an index to the manifest of the platform; one level only, as in Docker. */
async function resolvePlatform(
  repository: Repository,
  top: FetchedManifest,
  platform: Platform,
): Promise<{ manifest: Manifest; bytes: Buffer }> {
  const parsed = parseManifest(top.bytes, top.contentType, `the manifest ${top.digest}`);
  if (parsed.kind === 'manifest') return { manifest: parsed, bytes: top.bytes };
  const entry = chooseEntry(parsed.manifests, platform);
  if (!entry && !parsed.manifests.some(mayBeImage))
    throw new NotAnImage(`the index ${top.digest} is not an image: none of its entries is one`);
  if (!entry)
    throw new HuskError(`no matching manifest for ${formatPlatform(platform)} in the manifest list entries`, {
      kind: 'not-found',
    });
  const { bytes, contentType } = await repository.manifest(entry.digest);
  if (bytes.length !== entry.size)
    throw new HuskError(`the manifest ${entry.digest} has ${bytes.length} bytes, its index says ${entry.size}`, {
      kind: 'corrupt',
    });
  const manifest = parseManifest(bytes, contentType || entry.mediaType, `the manifest ${entry.digest}`);
  if (manifest.kind === 'index')
    throw new HuskError(`the index ${top.digest} leads to another index`, { kind: 'corrupt' });
  return { manifest, bytes };
}

/** Checks the platform only when one was asked for: without --platform Docker runs what it gets. */
function checkPlatform(config: Image['config'], { platform, reference }: PullRequest, { host }: Repository): void {
  if (!platform || serves(config, platform)) return;
  throw new HuskError(
    `image with reference ${familiarReference(reference)} was found but does not match the specified platform: wanted ${formatPlatform(platform)}, actual: ${formatPlatform(config)}`,
    { kind: 'not-found', fix: `${host} has it for one platform only` },
  );
}

async function fetchConfig(repository: Repository, descriptor: Descriptor, blobs: Blobs): Promise<Buffer> {
  if (blobs.has(descriptor.digest)) return blobs.get(descriptor.digest);
  return smallBlob(repository, descriptor);
}

interface WantedLayer {
  descriptor: Descriptor;
  diffId: string;
}

/** Fetches layers, a few at a time and the bottom one first; the first failure stops the others. */
async function fetchLayers(
  repository: Repository,
  layers: WantedLayer[],
  context: PullContext,
  request: PullRequest,
): Promise<void> {
  makeTmpFolder(context.paths);
  // An image may have the same layer twice, mostly the empty one.
  const distinct = [...new Map(layers.map((layer) => [layer.diffId, layer])).values()];
  const waiting: WantedLayer[] = [];
  for (const layer of distinct) {
    const here = context.records.presentLayer(layer.diffId) !== undefined;
    request.onProgress({ id: shortId(layer.descriptor.digest), status: here ? 'Already exists' : 'Pulling fs layer' });
    if (!here) waiting.push(layer);
  }
  for (const { descriptor } of waiting.slice(context.concurrency))
    request.onProgress({ id: shortId(descriptor.digest), status: 'Waiting' });
  await inParallel(waiting, { limit: context.concurrency, signal: request.signal }, (layer, signal) =>
    fetchLayer(repository, layer, context, { ...request, signal }),
  );
}

async function fetchLayer(
  repository: Repository,
  { descriptor, diffId }: WantedLayer,
  context: PullContext,
  { onProgress, signal }: PullRequest,
): Promise<void> {
  const { records, claims, paths } = context;
  const id = shortId(descriptor.digest);
  using claim = await claims.take(descriptor.digest, {
    done: () => records.presentLayer(diffId) !== undefined,
    onWait: () => onProgress({ id, status: 'Waiting' }),
    signal,
  });
  if (claim) {
    let reported = 0;
    const source = blobStream({
      descriptor,
      repository,
      paths,
      keep: true,
      signal,
      onBytes: (current) => {
        if (current === descriptor.size) return onProgress({ id, status: 'Verifying Checksum' });
        const now = performance.now();
        if (now - reported < PROGRESS_INTERVAL_MS) return;
        reported = now;
        onProgress({ id, status: 'Downloading', current, total: descriptor.size });
      },
      onComplete: () => {
        onProgress({ id, status: 'Download complete' });
        onProgress({ id, status: 'Extracting', current: descriptor.size, total: descriptor.size });
      },
    });
    let size: number;
    try {
      ({ size } = await ingestLayer({
        source,
        diffId,
        tmp: paths.tmp,
        layersDir: paths.layers,
        maxSize: context.maxLayerSize,
        signal,
      }));
    } catch (error) {
      const shown = layerError(error, descriptor.digest, signal);
      // Bytes that cannot become this layer are not worth resuming, so the kept part is removed.
      if (shown instanceof HuskError && (shown.kind === 'corrupt' || shown.kind === 'limit'))
        await removePartial(paths, descriptor.digest);
      throw shown;
    }
    records.recordLayer({ diffId, size });
  }
  onProgress({ id, status: 'Pull complete' });
}

/** Turns errors of decompressors and of the file system into one line about the layer. */
function layerError(error: unknown, digest: string, signal: AbortSignal | undefined): unknown {
  if (error instanceof HuskError || signal?.aborted) return error;
  const { code, message } = error as NodeJS.ErrnoException;
  if (code?.startsWith('Z_') || code?.startsWith('ZSTD_'))
    return new HuskError(`cannot decompress the layer ${digest}: ${message}`, { kind: 'corrupt', cause: error });
  if (code === 'ENOSPC' || code === 'EDQUOT')
    return new HuskError(`cannot store the layer ${digest}: ${causeOf(error)}`, {
      kind: 'limit',
      fix: 'free some space: husk image prune',
      cause: error,
    });
  return code === undefined
    ? error
    : new HuskError(`cannot store the layer ${digest}: ${causeOf(error)}`, { kind: 'internal', cause: error });
}
