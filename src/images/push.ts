/**
 * Push: gives a registry what it lacks of an image. A layer it has in its compressed form (here or in another
 * repository of the same registry) is not sent; any other is compressed anew from its tar, as only tars are kept. The
 * manifest is the one that was pulled when all its blobs are the same, else a new one of the same kind. Prints nothing.
 */
import { createHash } from 'node:crypto';
import { createReadStream, createWriteStream } from 'node:fs';
import { rm, stat } from 'node:fs/promises';
import { pipeline } from 'node:stream/promises';
import { createGzip } from 'node:zlib';
import type { Readable } from 'node:stream';
import { HuskError } from '../errors.ts';
import type { Paths } from '../paths.ts';
import type { Blobs } from './store/blobs.ts';
import { sha256 } from './store/blobs.ts';
import type { Progress } from './store/contract.ts';
import { tmpPath } from '../state/tmp-folder.ts';
import type { Descriptor } from './store/manifest.ts';
import {
  DOCKER_CONFIG,
  DOCKER_LAYER_GZIP,
  DOCKER_MANIFEST,
  OCI_CONFIG,
  OCI_LAYER_GZIP,
  OCI_MANIFEST,
  parseManifest,
} from './store/manifest.ts';
import { inParallel } from './store/parallel.ts';
import type { ImageRecords } from './store/records.ts';
import { layerTar } from './store/records.ts';
import type { Reference } from './store/reference.ts';
import { familiarName, fullName, nameKey, parseKey, shortId } from './store/reference.ts';
import { Repository } from './registry/client.ts';
import type { Endpoint } from './registry/endpoints.ts';
import { Transient, withRetries } from './registry/retry.ts';
import type { Transport } from './registry/transport.ts';
import { TransportError } from './registry/transport.ts';

const PROGRESS_INTERVAL_MS = 100;
/** bytes read at once from a tar */
const CHUNK = 1 << 20;

export interface PushContext {
  paths: Paths;
  blobs: Blobs;
  records: ImageRecords;
  transport: Transport;
  endpoint: Endpoint;
  /** layers sent at once */
  concurrency: number;
  env: NodeJS.ProcessEnv;
}

export interface PushRequest {
  /** with a tag */
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

/** @returns digest and size in bytes of the manifest the tag now names */
export async function push(context: PushContext, request: PushRequest): Promise<{ digest: string; size: number }> {
  const { records, blobs, endpoint, transport, env } = context;
  const { reference, onProgress, signal } = request;
  const id = records.idOfName(nameKey(reference));
  if (id === undefined || reference.tag === undefined)
    throw new HuskError(`An image does not exist locally with the tag: ${familiarName(reference)}`, {
      kind: 'not-found',
    });
  onProgress({ status: `The push refers to repository [${fullName(reference)}]` });
  const mountFrom = otherRepositories(records.names(id).map(parseKey), reference);
  const repository = new Repository({ transport, endpoint, path: reference.path, env, signal, push: { mountFrom } });
  const rows = records.blobsOf(id);
  const distinct = [...new Map(rows.map((row) => [row.diffId, row])).values()];
  for (const { diffId } of distinct.toReversed()) onProgress({ id: shortId(diffId), status: 'Preparing' });
  const original = parseManifest(blobs.get(records.manifestDigest(id)!), '', `the manifest of ${id}`);
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
    ? blobs.get(records.manifestDigest(id)!)
    : Buffer.from(
        JSON.stringify({
          schemaVersion: 2,
          mediaType,
          config: { mediaType: docker ? DOCKER_CONFIG : OCI_CONFIG, digest: id, size: config.length },
          layers,
        }),
      );
  await repository.putManifest(reference.tag, manifest, mediaType);
  const digest = sha256(manifest);
  records.setNames([`${fullName(reference)}@${digest}`], id);
  onProgress({ status: `${reference.tag}: digest: ${digest} size: ${manifest.length}` });
  return { digest, size: manifest.length };
}

/** Repositories of the same registry the image is known by: its blobs may be there already. */
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
  const { paths, docker, mountFrom } = context;
  const id = shortId(row.diffId);
  if (row.digest !== null && row.compressedSize !== null && row.mediaType !== null) {
    const known: Descriptor = { mediaType: row.mediaType, digest: row.digest, size: row.compressedSize };
    if (await repository.hasBlob(known.digest)) return (onProgress({ id, status: 'Layer already exists' }), known);
    for (const from of mountFrom) {
      if ((await repository.startUpload({ digest: known.digest, from })) === undefined)
        return (onProgress({ id, status: `Mounted from ${from}` }), known);
    }
  }
  const file = tmpPath(paths, 'half-blob');
  try {
    const digest = await compress(layerTar(paths, row.diffId), file, signal);
    const { size } = await stat(file);
    const descriptor: Descriptor = { mediaType: docker ? DOCKER_LAYER_GZIP : OCI_LAYER_GZIP, digest, size };
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

/**
 * gzip with zlib's default level; node:zlib writes no name and no time, so the same tar gives the same bytes. @returns
 * the digest
 */
async function compress(tar: string, file: string, signal?: AbortSignal): Promise<string> {
  const hash = createHash('sha256');
  const hashed = async function* (source: AsyncIterable<Buffer>) {
    for await (const chunk of source) {
      hash.update(chunk);
      yield chunk;
    }
  };
  await pipeline(
    createReadStream(tar, { highWaterMark: CHUNK }),
    createGzip({ chunkSize: CHUNK }),
    hashed,
    createWriteStream(file, { flags: 'wx', mode: 0o600 }),
    { signal },
  );
  return `sha256:${hash.digest('hex')}`;
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
  // listening has made it flow; whoever it is piped into starts it again
  return stream.pause();
}

/** Every try begins an upload of its own. */
const uploadBlob = (
  repository: Repository,
  blob: Parameters<Repository['upload']>[1],
  signal?: AbortSignal,
): Promise<void> =>
  withRetries(
    async () => {
      try {
        const location = await repository.startUpload();
        await repository.upload(location!, blob);
      } catch (error) {
        throw error instanceof TransportError ? new Transient(error) : error;
      }
    },
    { signal },
  );
