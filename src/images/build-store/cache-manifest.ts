/**
 * husk's own form of a build cache that travels: an OCI image manifest whose layers are those of steps, and whose
 * config says which key has which layer. Any registry keeps it, and any tool copies it. Pure.
 *
 * A stranger may have written it: counts, lengths and indexes are bounded, and a key or a digest of another shape
 * refuses the whole. That a layer is what its digest says is checked when it is fetched; that it is what the step would
 * have made is the word of whoever wrote it, as with an image.
 *
 * BuildKit's cache manifests have keys that are digests of BuildKit's own graph, which nobody else can make.
 */
import { HuskError } from '../../errors.ts';
import { sha256 } from '../store/blobs.ts';
import {
  compressionOf,
  descriptor,
  isObject,
  MAX_MANIFEST,
  OCI_MANIFEST,
  parseImageConfig,
  parseManifest,
  parseObject,
  type Descriptor,
  type Json,
} from '../store/manifest.ts';
import { chooseEntry, formatPlatform, hostPlatform } from '../store/platform.ts';
import { isDigest } from '../store/reference.ts';

export const CACHE_CONFIG = 'application/vnd.husk.build-cache.v1+json';
/** key of an image's config that has the rows of its own layers (`--cache-to type=inline`) */
const INLINE = 'husk.build-cache.v1';
/** begins the media types of BuildKit's own cache manifests */
const BUILDKIT = 'application/vnd.buildkit.cacheconfig.';
const VERSION = 1;

/** limits of one cache: a manifest of 4 MiB has room for some 20,000 layers */
const MAX_LAYERS = 10_000;
const MAX_ROWS = 10_000;
/** ms since the epoch, the end of the year 9999: what RFC 3339 can say */
const MAX_TIME = 253_402_300_799_999;
const KEY = /^[0-9a-f]{64}$/;

/** What a step has made, by the key of all that it read (keys.ts). */
export interface CachedStep {
  /** 64 hex digits */
  key: string;
  diffId: string;
  /** ms since the epoch */
  made: number;
}

/** A step of a cache that is elsewhere, with the blob of its layer there. */
export interface RemoteStep extends CachedStep {
  blob: Descriptor;
}

const corrupt = (message: string): HuskError => new HuskError(message, { kind: 'corrupt' });

/** @returns the config's bytes; its layers are numbered as `layers` are */
export function cacheConfig(steps: readonly CachedStep[], layers: readonly string[]): Buffer {
  return Buffer.from(JSON.stringify({ version: VERSION, layers, steps: rowsOf(steps, layers) }));
}

/** @param layers bottom first; none is there twice */
export function cacheManifest(config: Uint8Array, layers: readonly Descriptor[]): Buffer {
  return Buffer.from(
    JSON.stringify({
      schemaVersion: 2,
      mediaType: OCI_MANIFEST,
      artifactType: CACHE_CONFIG,
      config: { mediaType: CACHE_CONFIG, digest: sha256(config), size: config.length },
      layers,
    }),
  );
}

/** @returns what `--cache-to type=inline` adds to an image's config */
export const inlineCache = (steps: readonly CachedStep[], diffIds: readonly string[]): object => ({
  [INLINE]: { version: VERSION, steps: rowsOf(steps, diffIds) },
});

function rowsOf(steps: readonly CachedStep[], layers: readonly string[]): object[] {
  const places = new Map(layers.map((diffId, place) => [diffId, place]));
  return steps.map(({ key, diffId, made }) => ({ key, layer: places.get(diffId), made }));
}

/**
 * @returns the manifest that an index has for this machine; undefined where the bytes are a manifest themselves
 * @throws HuskError as readCacheManifest, and `not-found` for an index without one
 */
export function platformEntry(bytes: Uint8Array, what: string): Descriptor | undefined {
  const value = parseObject(bytes, what);
  refuseBuildKit(value, what);
  if (!('manifests' in value)) return undefined;
  const index = parseManifest(bytes, '', what);
  const entry = index.kind === 'index' ? chooseEntry(index.manifests, hostPlatform()) : undefined;
  if (!entry) throw new HuskError(`${what} has nothing for ${formatPlatform(hostPlatform())}`, { kind: 'not-found' });
  return entry;
}

/**
 * Reads the manifest of a cache, or of an image that may have one inside.
 * @returns its config, and what reads the steps out of that
 * @throws HuskError `unsupported` for BuildKit's, `corrupt` for what breaks the rules
 */
export function readCacheManifest(
  bytes: Uint8Array,
  what: string,
): { config: Descriptor; steps(config: Uint8Array): RemoteStep[] } {
  const value = parseObject(bytes, what);
  refuseBuildKit(value, what);
  const { config, layers } = value;
  if (!isObject(config) || config['mediaType'] !== CACHE_CONFIG) {
    const manifest = parseManifest(bytes, '', what);
    if (manifest.kind === 'index') throw corrupt(`${what} is an index`);
    return {
      config: manifest.config,
      steps: (image) => inlineSteps(image, manifest.layers, `the config of ${what}`),
    };
  }
  if (value['schemaVersion'] !== 2 || 'manifests' in value || !Array.isArray(layers))
    throw corrupt(`${what} is no manifest of a cache`);
  if (layers.length > MAX_LAYERS) throw corrupt(`${what} has ${layers.length} layers, more than ${MAX_LAYERS}`);
  const blobs = layers.map((layer, index) => {
    const blob = descriptor(layer, `layer ${index + 1} of ${what}`);
    compressionOf(blob.mediaType);
    return blob;
  });
  return {
    config: smallBlob(config, `the config of ${what}`),
    steps: (rows) => ownSteps(rows, blobs, `the config of ${what}`),
  };
}

function smallBlob(value: unknown, what: string): Descriptor {
  const blob = descriptor(value, what);
  if (blob.size > MAX_MANIFEST) throw corrupt(`${what} is larger than ${MAX_MANIFEST} bytes`);
  return blob;
}

/** @throws HuskError `unsupported` */
function refuseBuildKit({ config, manifests }: Json, what: string): void {
  const types = [config, ...(Array.isArray(manifests) ? manifests : [])].map((each) =>
    isObject(each) ? String(each['mediaType']) : '',
  );
  if (types.some((type) => type.startsWith(BUILDKIT)))
    throw new HuskError(`${what} is a cache of BuildKit's, whose keys nobody else can make`, {
      kind: 'unsupported',
      fix: 'name another for husk: --cache-to writes it',
    });
}

function ownSteps(bytes: Uint8Array, blobs: readonly Descriptor[], what: string): RemoteStep[] {
  const { version, layers, steps } = parseObject(bytes, what);
  if (version !== VERSION) throw corrupt(`${what} has another version than ${VERSION}`);
  if (!Array.isArray(layers) || layers.length !== blobs.length)
    throw corrupt(`${what} does not have the ${blobs.length} layers of its manifest`);
  if (!layers.every(isDigest) || new Set(layers).size !== layers.length)
    throw corrupt(`${what} has a layer that is no sha256 digest, or is there twice`);
  return readRows(steps, { diffIds: layers, blobs, what });
}

function inlineSteps(bytes: Uint8Array, blobs: readonly Descriptor[], what: string): RemoteStep[] {
  const { rootfs } = parseImageConfig(bytes, what);
  const inline = parseObject(bytes, what)[INLINE];
  if (inline === undefined)
    throw new HuskError(`${what} has no build cache in it`, {
      kind: 'not-found',
      fix: 'build it with --cache-to type=inline',
    });
  if (!isObject(inline) || inline['version'] !== VERSION || rootfs.diff_ids.length !== blobs.length)
    throw corrupt(`${what} has a build cache that is none`);
  return readRows(inline['steps'], { diffIds: rootfs.diff_ids, blobs, what });
}

function readRows(
  rows: unknown,
  { diffIds, blobs, what }: { diffIds: readonly string[]; blobs: readonly Descriptor[]; what: string },
): RemoteStep[] {
  if (!Array.isArray(rows)) throw corrupt(`${what} has no steps`);
  if (rows.length > MAX_ROWS) throw corrupt(`${what} has ${rows.length} steps, more than ${MAX_ROWS}`);
  const keys = new Set<string>();
  return rows.map((row: unknown, index) => {
    const { key, layer, made } = isObject(row) ? row : {};
    const one = `step ${index + 1} of ${what}`;
    if (typeof key !== 'string' || !KEY.test(key)) throw corrupt(`${one} has a key that is none`);
    if (keys.has(key)) throw corrupt(`${one} has the key of another`);
    keys.add(key);
    if (!Number.isSafeInteger(layer) || !((layer as number) >= 0 && (layer as number) < diffIds.length))
      throw corrupt(`${one} names a layer that is not there`);
    if (!Number.isSafeInteger(made) || !((made as number) >= 0 && (made as number) <= MAX_TIME))
      throw corrupt(`${one} has a time that is none`);
    return { key, diffId: diffIds[layer as number]!, made: made as number, blob: blobs[layer as number]! };
  });
}
