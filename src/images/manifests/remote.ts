/**
 * Manifests as registries have them, for lists: fetched with the platform that their config names, and sent together
 * with the blobs that the list's repository lacks. This module keeps nothing.
 */
import { Readable } from 'node:stream';
import { HuskError } from '../../errors.ts';
import { blobStream, smallBlob } from '../blob-stream.ts';
import { uploadBlob } from '../layer-blobs.ts';
import { Repository, type FetchedManifest } from '../registry/client.ts';
import { endpoints, type Endpoint, type RegistryConfig } from '../registry/endpoints.ts';
import type { Transport } from '../registry/transport.ts';
import type { Asking, DistributedImage, ListedManifest, ListedPlatform } from '../store/contract.ts';
import { listedPlatform, parseManifest, type Descriptor, type Index, type Manifest } from '../store/manifest.ts';
import { inParallel } from '../store/parallel.ts';
import { fullName, fullReference, parseReference, type Reference } from '../store/reference.ts';
import { checkCount, checkDepth, checkSizes } from './entries.ts';

/** requests at a time */
const PARALLEL = 3;
/** layers that no registry may pass on; clients fetch them from where the manifest says */
const FOREIGN = /foreign|nondistributable/;

export interface RemoteOptions extends Asking {
  transport: Transport;
  config: RegistryConfig;
  env: NodeJS.ProcessEnv;
  /** whether plain HTTP and unverified TLS are allowed, as for a host in `insecure-registries` */
  insecure?: boolean;
  signal?: AbortSignal;
}

interface Fetched {
  bytes: Buffer;
  digest: string;
  parsed: Manifest | Index;
}

function endpointOf({ domain }: Reference, { config, insecure }: RemoteOptions): Endpoint {
  const hosts = config['insecure-registries'] ?? [];
  return endpoints(domain, {
    'registry-mirrors': [],
    'insecure-registries': insecure ? [...hosts, domain] : hosts,
  })[0]!;
}

function repositoryOf(reference: Reference, options: RemoteOptions, push?: { mountFrom: string[] }): Repository {
  const { transport, env, signal, credentials } = options;
  return new Repository({
    transport,
    endpoint: endpointOf(reference, options),
    path: reference.path,
    env,
    push,
    credentials,
    signal,
  });
}

/** @throws HuskError `not-found` with Docker's text */
async function fetchParsed(repository: Repository, reference: Reference): Promise<Fetched> {
  let fetched: FetchedManifest;
  try {
    fetched = await repository.manifest(reference.digest ?? reference.tag!);
  } catch (error) {
    if (!(error instanceof HuskError) || error.kind !== 'not-found') throw error;
    throw new HuskError(`no such manifest: ${fullReference(reference)}`, { kind: 'not-found', cause: error });
  }
  const { bytes, contentType, digest } = fetched;
  const what = `the manifest ${digest}`;
  checkDepth(bytes, what);
  return { bytes, digest, parsed: parseManifest(bytes, contentType, what, { artifacts: true }) };
}

/**
 * Fetches one manifest and the platform in its config.
 * @throws HuskError `unsupported` with Docker's text for a list
 */
export async function fetchManifest(reference: Reference, options: RemoteOptions): Promise<ListedManifest> {
  const found = await fetchAny(reference, options);
  if (found.kind === 'list')
    throw new HuskError(`${fullReference(reference)} is a manifest list`, {
      kind: 'unsupported',
      fix: 'name the manifests in it: husk manifest inspect shows their digests',
    });
  return found.manifest;
}

/** Fetches a manifest with its platform, or the index that is there instead. */
export async function fetchAny(
  reference: Reference,
  options: RemoteOptions,
): Promise<{ kind: 'manifest'; manifest: ListedManifest } | { kind: 'list'; index: Index }> {
  const repository = repositoryOf(reference, options);
  const { bytes, digest, parsed } = await fetchParsed(repository, reference);
  if (parsed.kind === 'index') return { kind: 'list', index: parsed };
  const platform = await configPlatform(repository, parsed);
  const manifest = { reference: fullReference(reference), mediaType: parsed.mediaType, digest, bytes };
  return { kind: 'manifest', manifest: platform ? { ...manifest, platform } : manifest };
}

/** Fetches what a reference names, as it stands there, and the platforms that it is for. */
export async function fetchDistributed(reference: Reference, options: RemoteOptions): Promise<DistributedImage> {
  const repository = repositoryOf(reference, options);
  const { bytes, digest, parsed } = await fetchParsed(repository, reference);
  const descriptor = { mediaType: parsed.mediaType, digest, size: bytes.length };
  if (parsed.kind === 'index')
    return { descriptor, platforms: parsed.manifests.flatMap(({ platform }) => (platform ? [platform] : [])) };
  const platform = await configPlatform(repository, parsed);
  return { descriptor, platforms: platform ? [platform] : [] };
}

/** Fetches every manifest of a registry's index. The platforms are those that the index names. */
export async function fetchAll(
  reference: Reference,
  { manifests }: Index,
  options: RemoteOptions,
): Promise<ListedManifest[]> {
  checkCount(manifests.length);
  const repository = repositoryOf(reference, options);
  const fetched: ListedManifest[] = [];
  await inParallel([...manifests.entries()], { limit: PARALLEL, signal: options.signal }, async ([at, entry]) => {
    const { bytes, parsed } = await fetchParsed(repository, { ...reference, digest: entry.digest });
    if (bytes.length !== entry.size)
      throw new HuskError(`the manifest ${entry.digest} has ${bytes.length} bytes, its index says ${entry.size}`, {
        kind: 'corrupt',
      });
    fetched[at] = {
      reference: fullReference({ ...reference, digest: entry.digest }),
      mediaType: parsed.mediaType,
      digest: entry.digest,
      ...(entry.platform && { platform: entry.platform }),
      bytes,
    };
    checkSizes(fetched.filter(Boolean));
  });
  return fetched;
}

/** @returns undefined for an artifact, whose config is that of no image */
async function configPlatform(repository: Repository, { config }: Manifest): Promise<ListedPlatform | undefined> {
  const bytes = await smallBlob(repository, config);
  try {
    return listedPlatform(JSON.parse(bytes.toString('utf8')));
  } catch {
    return undefined;
  }
}

/**
 * Sends a list. Manifests of other repositories of the same registry are sent before it, with their blobs: mounted
 * where the registry does that, else copied.
 * @param list its host is that of every manifest
 */
export async function sendList(
  list: Reference,
  content: { mediaType: string; bytes: Buffer; manifests: readonly ListedManifest[] },
  options: RemoteOptions & { onPushed?: (reference: string, digest: string) => void },
): Promise<void> {
  const others = content.manifests
    .map((manifest) => ({ manifest, from: parseReference(manifest.reference) }))
    .filter(({ from }) => fullName(from) !== fullName(list));
  const mountFrom = [...new Set(others.map(({ from }) => from.path))];
  const target = repositoryOf(list, options, { mountFrom });
  for (const { manifest, from } of others) {
    const parsed = parseManifest(manifest.bytes, manifest.mediaType, `the manifest ${manifest.digest}`, {
      artifacts: true,
    });
    if (parsed.kind === 'manifest') await sendBlobs(target, from, parsed, options);
    await target.putManifest(manifest.digest, manifest.bytes, manifest.mediaType);
    options.onPushed?.(`${fullName(list)}@${manifest.digest}`, manifest.digest);
  }
  await target.putManifest(list.tag!, content.bytes, content.mediaType);
}

async function sendBlobs(
  target: Repository,
  from: Reference,
  { config, layers }: Manifest,
  options: RemoteOptions,
): Promise<void> {
  const source = repositoryOf(from, options);
  const blobs = [config, ...layers].filter(({ mediaType }) => !FOREIGN.test(mediaType));
  const distinct = [...new Map(blobs.map((blob) => [blob.digest, blob])).values()];
  await inParallel(distinct, { limit: PARALLEL, signal: options.signal }, async (blob, signal) => {
    if (await target.hasBlob(blob.digest)) return;
    if ((await target.startUpload({ digest: blob.digest, from: from.path })) === undefined) return;
    // A source that lies is no failure of the target: it is thrown as it is, and the upload is not tried again.
    let failure: unknown;
    const body = (): Readable => {
      if (failure !== undefined) throw failure;
      return bytesOf(source, blob, signal).once('error', (error) => (failure = error));
    };
    try {
      await uploadBlob(target, { digest: blob.digest, size: blob.size, body }, signal);
    } catch (error) {
      throw failure ?? error;
    }
  });
}

/** @returns the blob from its own repository; bytes that are not what the digest says break the upload off */
const bytesOf = (repository: Repository, descriptor: Descriptor, signal: AbortSignal): Readable =>
  Readable.from(blobStream({ descriptor, repository, paths: { tmp: '' }, keep: false, signal }), { objectMode: false });
