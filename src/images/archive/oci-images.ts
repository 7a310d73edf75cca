/**
 * The images of an OCI layout in an archive, and of the indexes in it. Every blob is checked by what names it, once:
 * many entries may lead to one blob.
 */
import { HuskError } from '../../errors.ts';
import { sha256 } from '../store/blobs.ts';
import type { Platform } from '../store/contract.ts';
import {
  DOCKER_LIST,
  NotAnImage,
  OCI_INDEX,
  parseImageConfig,
  parseManifest,
  type Descriptor,
  type Index,
  type IndexEntry,
  type Manifest,
} from '../store/manifest.ts';
import { chooseEntry, formatPlatform, hostPlatform, mayBeImage, normalize } from '../store/platform.ts';
import { hexOf, nameKey, parseReference, withDefaultTag, type Reference } from '../store/reference.ts';
import { checkDiffIds, corrupt, tagOf } from './checked-image.ts';
import type { CheckedImage, LoadOptions, NamedImages } from './checked-image.ts';
import type { ArchiveContents, LayerFile } from './contents.ts';

/** limit of images of one index: registries have some twenty of one name */
const MAX_PLATFORMS = 64;
/** annotations of index.json: containerd's, and OCI image-spec annotations.md */
const CONTAINERD_NAME = 'io.containerd.image.name';
export const OCI_REF_NAME = 'org.opencontainers.image.ref.name';

/**
 * @returns whether a docker-archive's layout has an index of several platforms, of which manifest.json has one alone.
 * Where index.json cannot be read, manifest.json is all there is.
 */
export function hasIndex(contents: ArchiveContents): boolean {
  if (!contents.has('index.json')) return false;
  try {
    const index = parseManifest(contents.json('index.json'), OCI_INDEX, 'index.json');
    return (
      index.kind === 'index' &&
      index.manifests.some(({ mediaType, digest }) => isIndexType(mediaType) && contents.has(pathOf(digest)))
    );
  } catch (error) {
    if (error instanceof HuskError) return false;
    throw error;
  }
}

const isIndexType = (mediaType: string): boolean => mediaType === OCI_INDEX || mediaType === DOCKER_LIST;
const pathOf = (digest: string): string => `blobs/sha256/${hexOf(digest)}`;

/** @throws HuskError `corrupt`, `limit`, `not-found` */
export async function ociImages(contents: ArchiveContents, options: LoadOptions): Promise<NamedImages[]> {
  if (!contents.has('index.json'))
    throw new HuskError('unrecognized image format: the archive has neither manifest.json nor index.json', {
      kind: 'corrupt',
      fix: 'to make an image of a flat file system tar: husk import',
    });
  const bytes = contents.json('index.json');
  const index = parseManifest(bytes, OCI_INDEX, 'index.json');
  if (index.kind !== 'index') throw corrupt('index.json is no index');
  const annotations = annotationsOf(bytes);
  const layout = new Layout(contents);
  const read = new Map<string, CheckedImage>();
  const named = new Map<string, { name: Reference; images: Map<string, CheckedImage> }>();
  const unnamed = new Set<CheckedImage>();
  for (const [position, entry] of index.manifests.entries()) {
    // This entry is an attestation of another entry, not an image.
    if (entry.platform?.os === 'unknown') continue;
    const name = nameOf(annotations[position] ?? {});
    const images = new Map<string, CheckedImage>();
    for (const { manifest, platform } of await layout.manifestsOf(entry, { ...options, isNamed: name !== undefined })) {
      const { digest } = manifest.config;
      const image = read.get(digest) ?? (await ociImage(contents, manifest, options));
      read.set(digest, image);
      const own = platformOf(image, platform);
      // Readers of an index take the first that fits.
      const key = formatPlatform(own);
      if (!images.has(key)) images.set(key, { ...image, platform: own });
      if (!name) unnamed.add(image);
    }
    if (!name) continue;
    // A name may stand at several entries, one for each platform, instead of at an index.
    const before = named.get(nameKey(name))?.images ?? [];
    named.set(nameKey(name), { name, images: new Map([...before, ...images]) });
  }
  return [...byImages([...named.values()]), ...withoutName(unnamed, [...named.values()])];
}

type Named = readonly { name: Reference; images: ReadonlyMap<string, CheckedImage> }[];

/** @returns the names of the same images together */
function byImages(named: Named): NamedImages[] {
  const grouped = new Map<string, NamedImages>();
  for (const { name, images } of named) {
    const key = [...images.values()].map(({ config }) => sha256(config)).join();
    const known = grouped.get(key);
    if (known) known.names.push(name);
    else grouped.set(key, { images: [...images.values()], names: [name] });
  }
  return [...grouped.values()];
}

function withoutName(images: ReadonlySet<CheckedImage>, named: Named): NamedImages[] {
  const taken = new Set(named.flatMap((each) => [...each.images.values()].map(({ config }) => config)));
  return [...images].filter(({ config }) => !taken.has(config)).map((image) => ({ images: [image], names: [] }));
}

/** @returns the platform of an image's entry, which may name a variant, unless it is about another image */
function platformOf({ platform: own }: CheckedImage, entry: Platform | undefined): Platform {
  const [one, other] = [normalize(own), entry && normalize(entry)];
  return other && one.os === other.os && one.architecture === other.architecture ? other : one;
}

interface ListedImage {
  manifest: Manifest;
  platform: Platform | undefined;
}

/** The manifests of a layout; each is parsed once. */
class Layout {
  readonly #contents: ArchiveContents;
  readonly #parsed = new Map<string, Manifest | Index>();
  /** what is known of entries of indexes: the manifest of a whole image, or that there is none */
  readonly #whole = new Map<string, Manifest | undefined>();

  constructor(contents: ArchiveContents) {
    this.#contents = contents;
  }

  /**
   * @returns the image of an entry; of an index those that the archive has whole, where a name can stand for them all,
   * else the one of the platform that is wanted, or of this machine's
   */
  async manifestsOf(
    entry: IndexEntry,
    { platform: wanted, isNamed }: LoadOptions & { isNamed: boolean },
  ): Promise<ListedImage[]> {
    const { platform } = entry;
    const parsed = this.#manifest(entry);
    if (parsed.kind === 'manifest') return [{ manifest: parsed, platform }];
    const found = isNamed && !wanted ? this.#wholeImages(parsed) : [];
    if (found.length > 0) return found;
    const blobOf = (descriptor: Descriptor): Buffer => blob(this.#contents, descriptor);
    return [{ manifest: await findManifest(blobOf, entry, wanted ?? hostPlatform()), platform: wanted }];
  }

  /** @returns the images of an index of which the archive has every blob: it may have been made with some of them */
  #wholeImages({ manifests }: Index): ListedImage[] {
    const entries = manifests.filter(
      (entry) => mayBeImage(entry) && entry.platform?.os !== 'unknown' && this.#contents.has(pathOf(entry.digest)),
    );
    if (entries.length > MAX_PLATFORMS)
      throw new HuskError(`the archive has an index of more than ${MAX_PLATFORMS} images`, { kind: 'limit' });
    return entries.flatMap((entry) => {
      const manifest = this.#wholeImage(entry);
      return manifest ? [{ manifest, platform: entry.platform }] : [];
    });
  }

  /** @returns undefined for one that lacks a blob, and for a signature or another artifact that stands beside images */
  #wholeImage(entry: IndexEntry): Manifest | undefined {
    const key = keyOf(entry);
    if (!this.#whole.has(key)) this.#whole.set(key, this.#findWhole(entry));
    return this.#whole.get(key);
  }

  #findWhole(entry: IndexEntry): Manifest | undefined {
    try {
      const manifest = this.#manifest(entry);
      if (manifest.kind === 'index') throw corrupt(`an index leads to another index ${entry.digest}`);
      const isWhole = [manifest.config, ...manifest.layers].every(({ digest }) => this.#contents.has(pathOf(digest)));
      return isWhole ? manifest : undefined;
    } catch (error) {
      if (error instanceof NotAnImage) return undefined;
      throw error;
    }
  }

  #manifest(entry: IndexEntry): Manifest | Index {
    const known = this.#parsed.get(keyOf(entry));
    if (known) return known;
    const parsed = parseManifest(blob(this.#contents, entry), entry.mediaType, `the manifest ${entry.digest}`);
    this.#parsed.set(keyOf(entry), parsed);
    return parsed;
  }
}

const keyOf = ({ digest, size, mediaType }: Descriptor): string => `${digest} ${size} ${mediaType}`;

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
  return { config, layers, platform: parsed };
}
