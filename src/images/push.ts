/**
 * Push: gives a registry what it lacks of an image. A layer whose compressed form the registry has already (in this
 * repository or in another of its own) is not sent; any other layer is compressed anew from its tar, because husk keeps
 * tars only. The manifest that was pulled is sent when all its blobs are the same, else a new one of the same kind.
 * This module prints nothing.
 */
import { createReadStream } from 'node:fs';
import { rm, stat } from 'node:fs/promises';
import type { Readable } from 'node:stream';
import { HuskError } from '../errors.ts';
import { CHUNK, compressLayer, uploadBlob } from './layer-blobs.ts';
import type { Paths } from '../paths.ts';
import type { Blobs } from './store/blobs.ts';
import { sha256 } from './store/blobs.ts';
import type { Asking, ListedManifest, Platform, Progress, Pushed } from './store/contract.ts';
import { tmpPath } from '../state/tmp-folder.ts';
import type { Descriptor } from './store/manifest.ts';
import {
  DOCKER_CONFIG,
  DOCKER_LAYER_GZIP,
  DOCKER_MANIFEST,
  OCI_CONFIG,
  OCI_LAYER_GZIP,
  OCI_MANIFEST,
  isObject,
  listedPlatform,
  parseManifest,
  parseObject,
} from './store/manifest.ts';
import { inParallel } from './store/parallel.ts';
import { normalize } from './store/platform.ts';
import { choosePushed } from './store/push-choice.ts';
import type { ImageRecords } from './store/records.ts';
import { layerTar } from './store/records.ts';
import type { Reference } from './store/reference.ts';
import { familiarName, familiarReference, fullName, nameKey, parseKey, shortId } from './store/reference.ts';
import { Repository } from './registry/client.ts';
import type { Endpoint } from './registry/endpoints.ts';
import type { Transport } from './registry/transport.ts';

const PROGRESS_INTERVAL_MS = 100;

export interface PushContext {
  paths: Paths;
  blobs: Blobs;
  records: ImageRecords;
  transport: Transport;
  endpoint: Endpoint;
  /** how many layers are sent at once */
  concurrency: number;
  env: NodeJS.ProcessEnv;
  /**
   * by diffID and compression what layers were compressed to before: an image pushed by two names is compressed once
   */
  compressed: Map<string, Descriptor>;
}

/** limit of layers whose compressed form is remembered */
const MAX_COMPRESSED = 4096;

export interface PushRequest extends Asking {
  /** the image to push; it must have a tag */
  reference: Reference;
  onProgress: (progress: Progress) => void;
  signal?: AbortSignal;
  /** which image of the tag's */
  platform?: Platform;
}

interface LayerRow {
  diffId: string;
  digest: string | null;
  mediaType: string | null;
  compressedSize: number | null;
}

/**
 * Pushes one tag. An aborted push rejects with the signal's reason, whatever step it interrupted.
 * @returns digest and size in bytes of the manifest that the tag names now
 */
export async function push(context: PushContext, request: PushRequest): Promise<Pushed> {
  try {
    return await pushTag(context, request);
  } catch (error) {
    request.signal?.throwIfAborted();
    throw error;
  }
}

async function pushTag(context: PushContext, request: PushRequest): Promise<Pushed> {
  const { records } = context;
  const { reference, onProgress, platform } = request;
  const name = nameKey(reference);
  const own = records.idOfName(name);
  if (own === undefined || reference.tag === undefined) {
    onProgress({ status: `The push refers to repository [${fullName(reference)}]` });
    throw new HuskError(`An image does not exist locally with the tag: ${familiarName(reference)}`, {
      kind: 'not-found',
    });
  }
  const index = records.indexOf(name);
  const here =
    index.length > 0
      ? index.map((each) => ({ ...each, isHere: records.load(each.id) !== undefined }))
      : [{ id: own, platform: normalize(records.load(own)!.config), isHere: true }];
  const { ids, isIndex, lacking } = choosePushed(here, familiarReference(reference), platform);
  if (isIndex) return await pushIndex(context, ids, request);
  const pushed = await pushImage(ids[0]!, context, request);
  return { ...pushed, ...(lacking.length > 0 && { lacking }) };
}

async function pushImage(
  id: string,
  context: PushContext,
  request: PushRequest,
): Promise<{ digest: string; size: number }> {
  const { reference, onProgress } = request;
  onProgress({ status: `The push refers to repository [${fullName(reference)}]` });
  const target = targetOf([id], context, request);
  const { bytes, mediaType } = await sendImage(id, target, context, request);
  await target.repository.putManifest(reference.tag!, bytes, mediaType);
  return told(id, bytes, context, request);
}

/**
 * Pushes an index of images, one for each platform: each image by its digest, and then the index by the tag.
 * @param ids the images, in the order of the index; none needs a name
 * @returns digest and size in bytes of the index
 */
export async function pushIndex(
  context: PushContext,
  ids: readonly string[],
  request: PushRequest,
): Promise<{ digest: string; size: number }> {
  const { records } = context;
  const { reference, onProgress, signal } = request;
  try {
    const { entryOf, listText, listType } = await import('./manifests/entries.ts');
    onProgress({ status: `The push refers to repository [${fullName(reference)}]` });
    const target = targetOf(ids, context, request);
    const manifests: ListedManifest[] = [];
    for (const id of ids) {
      const { bytes, mediaType } = await sendImage(id, target, context, request);
      const digest = sha256(bytes);
      await target.repository.putManifest(digest, bytes, mediaType);
      records.setNames([`${fullName(reference)}@${digest}`], id);
      const platform = listedPlatform(records.load(id)?.config);
      manifests.push({
        reference: `${fullName(reference)}@${digest}`,
        mediaType,
        digest,
        bytes,
        ...(platform && { platform }),
      });
    }
    const mediaType = listType(manifests);
    const bytes = Buffer.from(listText(mediaType, manifests.map(entryOf)));
    await target.repository.putManifest(reference.tag!, bytes, mediaType);
    const own = records.idOfName(nameKey(reference));
    return told(own !== undefined && ids.includes(own) ? own : undefined, bytes, context, request);
  } catch (error) {
    signal?.throwIfAborted();
    throw error;
  }
}

interface Target {
  repository: Repository;
  /** paths of other repositories there that may have the images' blobs */
  mountFrom: string[];
}

function targetOf(
  ids: readonly string[],
  { records, transport, endpoint, env }: PushContext,
  { reference, signal, credentials }: PushRequest,
): Target {
  const names = ids.flatMap((id) => records.names(id)).map(parseKey);
  const mountFrom = otherRepositories(names, reference);
  const push = { mountFrom };
  return {
    repository: new Repository({ transport, endpoint, path: reference.path, env, signal, credentials, push }),
    mountFrom,
  };
}

/** Tells what the tag names now. @param id of the image here that is known by it; undefined: none */
function told(
  id: string | undefined,
  manifest: Uint8Array,
  { records }: PushContext,
  { reference, onProgress }: PushRequest,
): { digest: string; size: number } {
  const digest = sha256(manifest);
  if (id !== undefined) records.setNames([`${fullName(reference)}@${digest}`], id);
  onProgress({ status: `${reference.tag}: digest: ${digest} size: ${manifest.length}` });
  return { digest, size: manifest.length };
}

/** Sends what the registry lacks of an image, but for its manifest. @returns the manifest that it has there */
async function sendImage(
  id: string,
  { repository, mountFrom }: Target,
  context: PushContext,
  request: PushRequest,
): Promise<{ bytes: Buffer; mediaType: string }> {
  const { records, blobs } = context;
  const { onProgress, signal } = request;
  const rows = records.blobsOf(id);
  const distinct = [...new Map(rows.map((row) => [row.diffId, row])).values()];
  for (const { diffId } of distinct.toReversed()) onProgress({ id: shortId(diffId), status: 'Preparing' });
  const stored = blobs.get(records.manifestDigest(id)!);
  const original = parseManifest(stored, '', `the manifest of ${id}`);
  const docker = original.mediaType === DOCKER_MANIFEST;
  const sent = new Map<string, Descriptor>();
  await inParallel(distinct, { limit: context.concurrency, signal }, async (row, each) => {
    sent.set(
      row.diffId,
      await pushLayer(repository, row, { docker, mountFrom, ...context }, { ...request, signal: each }),
    );
  });
  const config = blobs.get(id);
  if (!(await repository.hasBlob(id)))
    await uploadBlob(repository, { digest: id, size: config.length, body: () => config }, signal);
  const layers = rows.map(({ diffId }) => sent.get(diffId)!);
  const same =
    original.kind === 'manifest' &&
    original.layers.length === layers.length &&
    original.layers.every(({ digest }, index) => digest === layers[index]!.digest);
  const mediaType = docker ? DOCKER_MANIFEST : OCI_MANIFEST;
  const manifest = same
    ? stored
    : Buffer.from(
        JSON.stringify({
          schemaVersion: 2,
          mediaType,
          config: { mediaType: docker ? DOCKER_CONFIG : OCI_CONFIG, digest: id, size: config.length },
          layers,
          ...(!docker && annotationsOf(stored)),
        }),
      );
  return { bytes: manifest, mediaType };
}

/** @returns what a manifest says besides of its image, which other compressed layers do not change */
function annotationsOf(manifest: Uint8Array): { annotations?: object } {
  const { annotations } = parseObject(manifest, 'the manifest');
  return isObject(annotations) ? { annotations } : {};
}

/**
 * @returns other repositories of the same registry that this image is known by, since its blobs may be there already
 */
function otherRepositories(names: Reference[], target: Reference): string[] {
  return [
    ...new Set(
      names.filter(({ domain, path }) => domain === target.domain && path !== target.path).map(({ path }) => path),
    ),
  ];
}

async function pushLayer(
  repository: Repository,
  row: LayerRow,
  context: PushContext & { docker: boolean; mountFrom: string[] },
  { onProgress, signal }: PushRequest,
): Promise<Descriptor> {
  const { paths, docker, mountFrom, compressed } = context;
  const id = shortId(row.diffId);
  const key = `${row.diffId} ${docker ? DOCKER_LAYER_GZIP : OCI_LAYER_GZIP}`;
  const before = compressed.get(key);
  const pulled: Descriptor[] =
    row.digest !== null && row.compressedSize !== null && row.mediaType !== null
      ? [{ mediaType: row.mediaType, digest: row.digest, size: row.compressedSize }]
      : [];
  for (const known of before ? [...pulled, before] : pulled) {
    if (await repository.hasBlob(known.digest)) return (onProgress({ id, status: 'Layer already exists' }), known);
    for (const from of mountFrom) {
      if ((await repository.startUpload({ digest: known.digest, from })) === undefined)
        return (onProgress({ id, status: `Mounted from ${from}` }), known);
    }
  }
  const file = tmpPath(paths, 'half-blob');
  try {
    const digest = await compressLayer(layerTar(paths, row.diffId), file, { signal });
    const { size } = await stat(file);
    const descriptor: Descriptor = { mediaType: docker ? DOCKER_LAYER_GZIP : OCI_LAYER_GZIP, digest, size };
    if (compressed.size < MAX_COMPRESSED) compressed.set(key, descriptor);
    if (await repository.hasBlob(digest)) return (onProgress({ id, status: 'Layer already exists' }), descriptor);
    await uploadBlob(
      repository,
      {
        digest,
        size,
        body: () =>
          counted(createReadStream(file, { highWaterMark: CHUNK }), (current) =>
            onProgress({ id, status: 'Pushing', current, total: size }),
          ),
      },
      signal,
    );
    onProgress({ id, status: 'Pushed' });
    return descriptor;
  } finally {
    await rm(file, { force: true });
  }
}

function counted(stream: Readable, report: (current: number) => void): Readable {
  let current = 0;
  let reported = 0;
  stream.on('data', (chunk: Buffer) => {
    current += chunk.length;
    const now = performance.now();
    if (now - reported < PROGRESS_INTERVAL_MS) return;
    reported = now;
    report(current);
  });
  // The 'data' listener has made the stream flow; the pipe that reads it later starts it again.
  return stream.pause();
}
