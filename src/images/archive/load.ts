/**
 * `load`: a docker-archive (old or new) or an OCI layout in a tar, plain or compressed. The tar is read once, in order;
 * images are recorded when all of it has arrived and every digest and diffID of every image is right. A failed load
 * leaves no image and no layer behind.
 */
import { HuskError } from '../../errors.ts';
import { sha256 } from '../store/blobs.ts';
import type { Images, Platform, Progress } from '../store/contract.ts';
import { parseImageConfig } from '../store/manifest.ts';
import { formatPlatform, hostPlatform, serves } from '../store/platform.ts';
import type { ImageRecords } from '../store/records.ts';
import { familiarReference, hexOf, nameKey } from '../store/reference.ts';
import { checkDiffIds, corrupt, tagOf } from './checked-image.ts';
import type { CheckedImage, LoadOptions, NamedImages } from './checked-image.ts';
import { ArchiveContents, type LayerFile } from './contents.ts';
import type { ArchiveContext } from './context.ts';
import { parseArchiveManifest } from './docker-archive.ts';
import { imageManifest } from './manifest-of.ts';
import { hasIndex, ociImages } from './oci-images.ts';

const PROGRESS_INTERVAL_MS = 100;

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
    const found =
      contents.has('manifest.json') && !hasIndex(contents)
        ? await dockerImages(contents, options)
        : await ociImages(contents, options);
    if (found.length === 0) throw corrupt('it has no images');
    const wanted = platform === undefined ? found : found.flatMap((each) => only(platform, each));
    if (wanted.length === 0) throw notProvided(platform!);
    return { loaded: wanted.flatMap((each) => record(context, each)) };
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

/** @returns the image of a platform, with its names; nothing where there is none */
function only(platform: Platform, { images, names }: NamedImages): NamedImages[] {
  const image = images.find(({ platform: has }) => serves(has, platform));
  return image ? [{ images: [image], names }] : [];
}

const notProvided = (platform: Platform) =>
  new HuskError(`no image in the archive provides the specified platform (${formatPlatform(platform)})`, {
    kind: 'not-found',
  });

// — docker-archive —

async function dockerImages(contents: ArchiveContents, options: LoadOptions): Promise<NamedImages[]> {
  const images: NamedImages[] = [];
  for (const { config: path, layers: layerPaths, repoTags } of parseArchiveManifest(contents.json('manifest.json'))) {
    const config = contents.json(path);
    const id = sha256(config);
    const named = /(?:^|\/)([0-9a-f]{64})(?:\.json)?$/.exec(path)?.[1];
    if (named !== undefined && named !== hexOf(id)) throw corrupt(`the config ${named} has the digest ${id}`);
    const layers: LayerFile[] = [];
    for (const layerPath of layerPaths) layers.push(await contents.layer(layerPath, options));
    const parsed = parseImageConfig(config, `the config ${id}`);
    checkDiffIds(parsed, layers, id);
    images.push({ images: [{ config, layers, platform: parsed }], names: repoTags.map(tagOf) });
  }
  return images;
}

/**
 * Records an image with its names; of several platforms' the one that the names lead to last, and in one transaction
 * with what they stand for.
 * @returns the names, or the id
 */
function record({ records }: ArchiveContext, { images, names }: NamedImages): string[] {
  const host = hostPlatform();
  const own = images.find(({ platform }) => serves(platform, host)) ?? images[0]!;
  const index = images.map(({ config, platform }) => ({ id: sha256(config), platform }));
  const keys = names.map(nameKey);
  for (const image of images) if (image !== own) recordOne(records, image, []);
  const id = recordOne(records, own, keys, () => {
    if (index.length > 1) for (const key of keys) records.setIndex(key, index);
  });
  return names.length === 0 ? [id] : names.map(familiarReference);
}

function recordOne(
  records: ImageRecords,
  { config, layers }: CheckedImage,
  names: string[],
  within: () => void = () => {},
): string {
  const id = sha256(config);
  const known = records.load(id);
  // An image that was pulled before has the compressed forms of its layers in its record, which is worth keeping.
  if (known?.layers.every(({ diffId }) => records.presentLayer(diffId) !== undefined))
    records.setNames(names, id, within);
  else {
    const made = imageManifest(config, layers);
    records.add({ config, manifest: made.bytes, layers: made.layers, names, within });
  }
  return id;
}
