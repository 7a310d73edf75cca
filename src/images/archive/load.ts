/**
 * `load`: a docker-archive (old or new) or an OCI layout in a tar, plain or compressed. The tar is read once, in order;
 * images are recorded when all of it has arrived and every digest and diffID of every image is right. A failed load
 * leaves no image and no layer behind.
 */
import { HuskError } from '../../errors.ts';
import { sha256 } from '../store/blobs.ts';
import type { ImageConfig, Images, Platform, Progress } from '../store/contract.ts';
import { chooseEntry, formatPlatform, hostPlatform, serves } from '../store/platform.ts';
import { type Descriptor, type Manifest, parseImageConfig, parseManifest } from '../store/manifest.ts';
import {
  familiarReference,
  hexOf,
  nameKey,
  parseReference,
  type Reference,
  shortId,
  withDefaultTag,
} from '../store/reference.ts';
import { ArchiveContents, type LayerFile } from './contents.ts';
import type { ArchiveContext } from './context.ts';
import { parseArchiveManifest } from './docker-archive.ts';
import { imageManifest } from './manifest-of.ts';

const PROGRESS_INTERVAL_MS = 100;
/** annotations of index.json: containerd's, and OCI image-spec annotations.md */
const CONTAINERD_NAME = 'io.containerd.image.name';
export const OCI_REF_NAME = 'org.opencontainers.image.ref.name';

/** An image whose digests and diffIDs have all proved right, so that it can be recorded. */
interface CheckedImage {
  config: Buffer;
  layers: LayerFile[];
  names: Reference[];
  platform: Platform;
}

const corrupt = (message: string) => new HuskError(`invalid archive: ${message}`, { kind: 'corrupt' });

/**
 * Loads the images of an archive.
 * @returns familiar references, or ids of images without one
 * @throws HuskError `corrupt`, `limit`
 */
export async function loadImages(
  context: ArchiveContext,
  input: NodeJS.ReadableStream,
  { platform, onProgress = () => {} }: NonNullable<Parameters<Images['load']>[1]>,
): Promise<{ loaded: string[] }> {
  const made: string[] = [];
  const options = { platform, onLayer: (diffId: string) => void made.push(diffId), onProgress: reporter(onProgress) };
  const claim = context.claim('load');
  try {
    const contents = await ArchiveContents.read(context, input as AsyncIterable<Uint8Array>, options);
    const images = contents.has('manifest.json')
      ? await dockerImages(contents, options)
      : await ociImages(contents, options);
    if (images.length === 0) throw corrupt('it has no images');
    const wanted = platform === undefined ? images : images.filter(({ platform: has }) => serves(has, platform));
    if (wanted.length === 0) throw notProvided(platform!);
    return { loaded: wanted.flatMap((image) => record(context, image)) };
  } finally {
    claim[Symbol.dispose]();
    // These are the layers of a failed load, or those of an archive that its images do not name.
    await context.discard(made);
  }
}

function reporter(onProgress: (progress: Progress) => void): (path: string, current: number, total: number) => void {
  let reported = 0;
  return (path, current, total) => {
    const now = performance.now();
    if (now - reported < PROGRESS_INTERVAL_MS && current < total) return;
    reported = now;
    const hex = /[0-9a-f]{12,64}/.exec(path)?.[0];
    onProgress({ ...(hex === undefined ? {} : { id: hex.slice(0, 12) }), status: 'Loading layer', current, total });
  };
}

const notProvided = (platform: Platform) =>
  new HuskError(`no image in the archive provides the specified platform (${formatPlatform(platform)})`, {
    kind: 'not-found',
  });

interface LoadOptions {
  onLayer: (diffId: string) => void;
  platform: Platform | undefined;
}

// — docker-archive —

async function dockerImages(contents: ArchiveContents, options: LoadOptions): Promise<CheckedImage[]> {
  const images: CheckedImage[] = [];
  for (const { config: path, layers: layerPaths, repoTags } of parseArchiveManifest(contents.json('manifest.json'))) {
    const config = contents.json(path);
    const id = sha256(config);
    const named = /(?:^|\/)([0-9a-f]{64})(?:\.json)?$/.exec(path)?.[1];
    if (named !== undefined && named !== hexOf(id)) throw corrupt(`the config ${named} has the digest ${id}`);
    const layers: LayerFile[] = [];
    for (const layerPath of layerPaths) layers.push(await contents.layer(layerPath, options));
    const parsed = parseImageConfig(config, `the config ${id}`);
    checkDiffIds(parsed, layers, id);
    images.push({ config, layers, names: repoTags.map(tagOf), platform: parsed });
  }
  return images;
}

function tagOf(text: string): Reference {
  const reference = parseReference(text);
  if (reference.tag === undefined || reference.digest !== undefined)
    throw corrupt(`"${familiarReference(reference)}" is no name with a tag`);
  return reference;
}

// — OCI layout —

async function ociImages(contents: ArchiveContents, options: LoadOptions): Promise<CheckedImage[]> {
  if (!contents.has('index.json'))
    throw new HuskError('unrecognized image format: the archive has neither manifest.json nor index.json', {
      kind: 'corrupt',
      fix: 'to make an image of a flat file system tar: husk import',
    });
  const bytes = contents.json('index.json');
  const index = parseManifest(bytes, 'application/vnd.oci.image.index.v1+json', 'index.json');
  if (index.kind !== 'index') throw corrupt('index.json is no index');
  const annotations = annotationsOf(bytes);
  const images = new Map<string, CheckedImage>();
  for (const [position, entry] of index.manifests.entries()) {
    // This entry is an attestation of another entry, not an image.
    if (entry.platform?.os === 'unknown') continue;
    const manifest = await findManifest(
      (descriptor) => blob(contents, descriptor),
      entry,
      options.platform ?? hostPlatform(),
    );
    const name = nameOf(annotations[position] ?? {});
    const known = images.get(manifest.config.digest);
    const image = known ?? (await ociImage(contents, manifest, options));
    if (name && !image.names.some((other) => nameKey(other) === nameKey(name))) image.names.push(name);
    images.set(manifest.config.digest, image);
  }
  return [...images.values()];
}

/** @returns the annotations of each entry; parseManifest has checked that `manifests` is a list of objects */
export function annotationsOf(index: Buffer): Record<string, unknown>[] {
  const { manifests } = JSON.parse(index.toString()) as {
    manifests: { annotations?: Record<string, unknown> | null }[];
  };
  return manifests.map(({ annotations }) => annotations ?? {});
}

/**
 * @returns the name in an entry's annotations. containerd's annotation has the whole name; the OCI's may have a name,
 * as skopeo writes it, or a bare tag, which names nothing.
 */
function nameOf(annotations: Record<string, unknown>): Reference | undefined {
  const full = annotations[CONTAINERD_NAME];
  const short = annotations[OCI_REF_NAME];
  if (typeof full === 'string') return tagOf(full);
  if (typeof short !== 'string' || !/[:/]/.test(short)) return undefined;
  const reference = withDefaultTag(parseReference(short));
  return reference.digest === undefined ? reference : undefined;
}

function blob(contents: ArchiveContents, { digest, size }: Descriptor): Buffer {
  const bytes = contents.json(`blobs/sha256/${hexOf(digest)}`);
  if (bytes.length !== size || sha256(bytes) !== digest)
    throw corrupt(
      `the blob ${digest} has ${bytes.length} bytes with the digest ${sha256(bytes)}, what names it says ${size}`,
    );
  return bytes;
}

/**
 * Follows an index of several platforms to the manifest of the wanted one; one level only, as in a registry.
 * @param blobOf gives a blob whose size and digest have proved right
 * @throws HuskError `not-found` for a platform that is not there, `corrupt`, `unsupported`
 */
export async function findManifest(
  blobOf: (descriptor: Descriptor) => Buffer | Promise<Buffer>,
  entry: Descriptor,
  platform: Platform,
): Promise<Manifest> {
  const parsed = parseManifest(await blobOf(entry), entry.mediaType, `the manifest ${entry.digest}`);
  if (parsed.kind === 'manifest') return parsed;
  const chosen = chooseEntry(parsed.manifests, platform);
  if (!chosen)
    throw new HuskError(`no matching manifest for ${formatPlatform(platform)} in the index ${entry.digest}`, {
      kind: 'not-found',
    });
  const manifest = parseManifest(await blobOf(chosen), chosen.mediaType, `the manifest ${chosen.digest}`);
  if (manifest.kind === 'index') throw corrupt(`the index ${entry.digest} leads to another index`);
  return manifest;
}

async function ociImage(contents: ArchiveContents, manifest: Manifest, options: LoadOptions): Promise<CheckedImage> {
  const config = blob(contents, manifest.config);
  const layers: LayerFile[] = [];
  for (const { digest, size } of manifest.layers) {
    const layer = await contents.layer(`blobs/sha256/${hexOf(digest)}`, options);
    // A layer without a blob was not read, because the store has it under this very digest.
    const { digest: found, size: length } = layer.blob ?? { digest: layer.diffId, size: layer.size };
    if (found !== digest || length !== size)
      throw corrupt(`the blob ${digest} has ${length} bytes with the digest ${found}, its manifest says ${size}`);
    layers.push(layer);
  }
  const parsed = parseImageConfig(config, `the config ${manifest.config.digest}`);
  checkDiffIds(parsed, layers, manifest.config.digest);
  return { config, layers, names: [], platform: parsed };
}

// — both —

function checkDiffIds({ rootfs: { diff_ids: diffIds } }: ImageConfig, layers: LayerFile[], id: string): void {
  if (diffIds.length !== layers.length)
    throw corrupt(
      `invalid manifest, layers length mismatch: expected ${diffIds.length}, got ${layers.length} (image ${shortId(id)})`,
    );
  for (const [index, { diffId }] of layers.entries())
    if (diffId !== diffIds[index])
      throw corrupt(`invalid diffID for layer ${index}: expected "${diffIds[index]}", got "${diffId}"`);
}

/** Records an image. @returns its names, or its id */
function record({ records }: ArchiveContext, { config, layers, names }: CheckedImage): string[] {
  const id = sha256(config);
  const keys = names.map(nameKey);
  const known = records.load(id);
  // An image that was pulled before has the compressed forms of its layers in its record, which is worth keeping.
  if (known?.layers.every(({ diffId }) => records.presentLayer(diffId) !== undefined)) records.setNames(keys, id);
  else {
    const made = imageManifest(config, layers);
    records.add({ config, manifest: made.bytes, layers: made.layers, names: keys });
  }
  return names.length === 0 ? [id] : names.map(familiarReference);
}
