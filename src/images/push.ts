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
import type { Asking, Progress } from './store/contract.ts';
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
  parseManifest,
  parseObject,
} from './store/manifest.ts';
import { inParallel } from './store/parallel.ts';
import type { ImageRecords } from './store/records.ts';
import { layerTar } from './store/records.ts';
import type { Reference } from './store/reference.ts';
import { familiarName, fullName, nameKey, parseKey, shortId } from './store/reference.ts';
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
  /** by diffID and compression what layers were compressed to before: an image pushed by two names is compressed once */
  compressed: Map<string, Descriptor>;
}

/** limit of layers whose compressed form is remembered */
const MAX_COMPRESSED = 4096;

export interface PushRequest extends Asking {
  /** the image to push; it must have a tag */
  reference: Reference;
  onProgress: (progress: Progress) => void;
  signal?: AbortSignal;
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
export async function push(context: PushContext, request: PushRequest): Promise<{ digest: string; size: number }> {
  try {
    return await pushTag(context, request);
  } catch (error) {
    request.signal?.throwIfAborted();
    throw error;
  }
}

async function pushTag(context: PushContext, request: PushRequest): Promise<{ digest: string; size: number }> {
  const { records, blobs, endpoint, transport, env } = context;
  const { reference, onProgress, signal, credentials } = request;
  onProgress({ status: `The push refers to repository [${fullName(reference)}]` });
  const id = records.idOfName(nameKey(reference));
  if (id === undefined || reference.tag === undefined)
    throw new HuskError(`An image does not exist locally with the tag: ${familiarName(reference)}`, {
      kind: 'not-found',
    });
  const mountFrom = otherRepositories(records.names(id).map(parseKey), reference);
  const repository = new Repository({
    transport,
    endpoint,
    path: reference.path,
    env,
    signal,
    credentials,
    push: { mountFrom },
  });
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
  await repository.putManifest(reference.tag, manifest, mediaType);
  const digest = sha256(manifest);
  records.setNames([`${fullName(reference)}@${digest}`], id);
  onProgress({ status: `${reference.tag}: digest: ${digest} size: ${manifest.length}` });
  return { digest, size: manifest.length };
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
