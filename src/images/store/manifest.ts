/**
 * Manifests, indexes and image configs: bytes in, checked values out. All of these bytes come from a registry or an
 * archive and are hostile: sizes, digests, counts and types are checked before any code acts on them. The parsers are
 * pure.
 *
 * Source: OCI image-spec 1.1 manifest.md, image-index.md, config.md; Docker "Image Manifest Version 2, Schema 2".
 */
import { HuskError } from '../../errors.ts';
import type { ImageConfig, ListedPlatform } from './contract.ts';
import { isDigest } from './reference.ts';

export const OCI_MANIFEST = 'application/vnd.oci.image.manifest.v1+json';
export const OCI_INDEX = 'application/vnd.oci.image.index.v1+json';
export const OCI_CONFIG = 'application/vnd.oci.image.config.v1+json';
export const OCI_LAYER = 'application/vnd.oci.image.layer.v1.tar';
export const OCI_LAYER_GZIP = `${OCI_LAYER}+gzip`;
export const OCI_LAYER_ZSTD = `${OCI_LAYER}+zstd`;
export const DOCKER_MANIFEST = 'application/vnd.docker.distribution.manifest.v2+json';
export const DOCKER_LIST = 'application/vnd.docker.distribution.manifest.list.v2+json';
export const DOCKER_CONFIG = 'application/vnd.docker.container.image.v1+json';
const DOCKER_LAYER = 'application/vnd.docker.image.rootfs.diff.tar';
export const DOCKER_LAYER_GZIP = `${DOCKER_LAYER}.gzip`;

/** media types that a manifest request accepts, best first */
export const MANIFEST_TYPES = [OCI_INDEX, OCI_MANIFEST, DOCKER_LIST, DOCKER_MANIFEST] as const;

/** limit of bytes of a manifest, an index or a config; registries have the same bound (distribution: 4 MiB) */
export const MAX_MANIFEST = 4 << 20;
/** limit of lower layers of one overlay mount: OVL_MAX_STACK, fs/overlayfs/super.c */
export const MAX_LAYERS = 500;
/** limit of entries of an index; real ones have a few dozen */
export const MAX_INDEX_ENTRIES = 4096;

export type LayerCompression = 'none' | 'gzip' | 'zstd';

export interface Descriptor {
  mediaType: string;
  digest: string;
  /** bytes */
  size: number;
}

export interface Manifest {
  kind: 'manifest';
  mediaType: string;
  config: Descriptor;
  /** descriptors of the layers, bottom first */
  layers: Descriptor[];
}

export interface IndexEntry extends Descriptor {
  platform?: ListedPlatform;
}

export interface Index {
  kind: 'index';
  mediaType: string;
  manifests: IndexEntry[];
}

const corrupt = (message: string) => new HuskError(message, { kind: 'corrupt' });

export type Json = Record<string, unknown>;
export const isObject = (value: unknown): value is Json =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** @throws HuskError `corrupt` for what is larger than a manifest may be, or no JSON object */
export function parseObject(bytes: Uint8Array, what: string): Json {
  if (bytes.length > MAX_MANIFEST) throw corrupt(`${what} is larger than ${MAX_MANIFEST} bytes`);
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes));
  } catch (error) {
    // JSON.parse's message is not shown: it quotes the text that it failed on, with its terminal escapes.
    throw new HuskError(`${what} is not JSON`, { kind: 'corrupt', cause: error });
  }
  if (!isObject(value)) throw corrupt(`${what} is not a JSON object`);
  return value;
}

/** @throws HuskError `corrupt` for what has no sha256 digest or no size */
export function descriptor(value: unknown, what: string): Descriptor {
  if (!isObject(value)) throw corrupt(`${what} is not a descriptor`);
  const { mediaType, digest, size } = value;
  if (!isDigest(digest)) throw corrupt(`${what} has no sha256 digest`);
  if (!Number.isSafeInteger(size) || (size as number) < 0) throw corrupt(`${what} has no valid size`);
  return { mediaType: typeof mediaType === 'string' ? mediaType : '', digest, size: size as number };
}

/** What a tag leads to is well-formed and something else than an image: a build's cache, a chart, a signature. */
export class NotAnImage extends HuskError {
  constructor(message: string) {
    super(message, { kind: 'unsupported' });
  }
}

/**
 * Parses a manifest or an index. The body's own `mediaType` wins over the header's; with neither, the fields decide.
 * @param contentType content type of the response, or '' (a layout's blob)
 * @param options.artifacts whether the manifest of an artifact that is no image is taken too
 * @throws HuskError `corrupt`; `unsupported` for schema 1 and for artifacts that are no images
 */
export function parseManifest(
  bytes: Uint8Array,
  contentType: string,
  what: string,
  options: { artifacts?: boolean } = {},
): Manifest | Index {
  const value = parseObject(bytes, what);
  if (value['schemaVersion'] === 1)
    throw new HuskError(`${what} has Docker schema 1, which no current tool reads`, {
      kind: 'unsupported',
      fix: 'push the image again with a current tool (docker, skopeo, buildah)',
    });
  if (value['schemaVersion'] !== 2) throw corrupt(`${what} has no schemaVersion 2`);
  const header = contentType.split(';')[0]!.trim().toLowerCase();
  const own = value['mediaType'];
  const mediaType = typeof own === 'string' && own !== '' ? own : header;
  const known = (MANIFEST_TYPES as readonly string[]).includes(mediaType);
  const isIndex = known ? mediaType === OCI_INDEX || mediaType === DOCKER_LIST : Array.isArray(value['manifests']);
  // A body that is both is the confusion attack of CVE-2021-41190: readers would disagree about what was pulled.
  if (isIndex ? 'layers' in value || 'config' in value : 'manifests' in value)
    throw corrupt(`${what} is both an index and a manifest`);
  if (isIndex)
    return {
      kind: 'index',
      mediaType: known ? mediaType : OCI_INDEX,
      manifests: indexEntries(value['manifests'], what),
    };
  const layers = value['layers'];
  if (!Array.isArray(layers)) throw corrupt(`${what} has no layers`);
  if (layers.length > MAX_LAYERS) throw corrupt(`${what} has ${layers.length} layers, more than ${MAX_LAYERS}`);
  const manifest: Manifest = {
    kind: 'manifest',
    mediaType: known ? mediaType : OCI_MANIFEST,
    config: descriptor(value['config'], `the config of ${what}`),
    layers: layers.map((layer, index) => descriptor(layer, `layer ${index + 1} of ${what}`)),
  };
  if (manifest.config.size > MAX_MANIFEST) throw corrupt(`the config of ${what} is larger than ${MAX_MANIFEST} bytes`);
  if (options.artifacts) return manifest;
  if (manifest.config.mediaType !== OCI_CONFIG && manifest.config.mediaType !== DOCKER_CONFIG)
    throw new NotAnImage(
      `${what} is not an image: its config has media type ${JSON.stringify(manifest.config.mediaType.slice(0, 100))}`,
    );
  for (const layer of manifest.layers) compressionOf(layer.mediaType);
  return manifest;
}

function indexEntries(value: unknown, what: string): IndexEntry[] {
  if (!Array.isArray(value)) throw corrupt(`${what} has no manifests`);
  if (value.length > MAX_INDEX_ENTRIES)
    throw corrupt(`${what} has ${value.length} entries, more than ${MAX_INDEX_ENTRIES}`);
  return value.map((entry, index) => {
    const result: IndexEntry = descriptor(entry, `entry ${index + 1} of ${what}`);
    const platform = listedPlatform((entry as Json)['platform']);
    return platform ? { ...result, platform } : result;
  });
}

/** @returns the platform that an index, or an image config, has in these fields; undefined where it names none */
export function listedPlatform(value: unknown): ListedPlatform | undefined {
  if (!isObject(value) || !isString(value['os']) || !isString(value['architecture'])) return undefined;
  const { variant, 'os.version': osVersion, 'os.features': osFeatures } = value;
  return {
    os: value['os'] as string,
    architecture: value['architecture'] as string,
    ...(isString(variant) && variant !== '' && { variant: variant as string }),
    ...(isString(osVersion) && osVersion !== '' && { osVersion: osVersion as string }),
    ...(isStrings(osFeatures) && { osFeatures: osFeatures as string[] }),
  };
}

/** @returns the fields as registries and Docker's client write them */
export const platformFields = ({
  os,
  architecture,
  variant,
  osVersion,
  osFeatures,
}: ListedPlatform): Record<string, unknown> => ({
  architecture,
  os,
  'os.version': osVersion,
  'os.features': osFeatures?.length ? osFeatures : undefined,
  variant,
});

/**
 * @throws HuskError `unsupported` for anything but tar, tar+gzip and tar+zstd under the names of the OCI or of Docker
 */
export function compressionOf(mediaType: string): LayerCompression {
  switch (mediaType) {
    case OCI_LAYER:
    case DOCKER_LAYER:
    case 'application/vnd.oci.image.layer.nondistributable.v1.tar':
      return 'none';
    case OCI_LAYER_GZIP:
    case DOCKER_LAYER_GZIP:
    case 'application/vnd.oci.image.layer.nondistributable.v1.tar+gzip':
    case 'application/vnd.docker.image.rootfs.foreign.diff.tar.gzip':
      return 'gzip';
    case OCI_LAYER_ZSTD:
    case `${DOCKER_LAYER}.zstd`:
    case 'application/vnd.oci.image.layer.nondistributable.v1.tar+zstd':
      return 'zstd';
    default:
      throw new HuskError(`unsupported layer media type ${JSON.stringify(mediaType.slice(0, 100))}`, {
        kind: 'unsupported',
      });
  }
}

/**
 * Parses an image config: checks the fields that the engine relies on, and leaves the rest as it is.
 * @throws HuskError `corrupt` naming the field
 */
export function parseImageConfig(bytes: Uint8Array, what: string): ImageConfig {
  const value = parseObject(bytes, what);
  const { rootfs } = value;
  if (!isObject(rootfs) || rootfs['type'] !== 'layers' || !Array.isArray(rootfs['diff_ids']))
    throw corrupt(`${what} has no rootfs.diff_ids`);
  const diffIds = rootfs['diff_ids'];
  if (diffIds.length > MAX_LAYERS) throw corrupt(`${what} has ${diffIds.length} diff_ids, more than ${MAX_LAYERS}`);
  if (!diffIds.every(isDigest)) throw corrupt(`${what} has a diff_id that is no sha256 digest`);
  for (const key of ['os', 'architecture', 'variant', 'created', 'author']) check(value[key], isString, what, key);
  checkExecution(value['config'], what);
  checkHistory(value['history'], what);
  return withDefaults(value);
}

/** Parses the stored text of a config, which was checked when it came. @throws SyntaxError */
export const readImageConfig = (text: string): ImageConfig => withDefaults(JSON.parse(text) as Json);

/** Adds Docker's defaults to a config. */
function withDefaults(value: Json): ImageConfig {
  // Images of old tools (and of `umoci new`) may lack these fields; Docker uses the host's values.
  value['os'] ||= 'linux';
  value['architecture'] ||= 'amd64';
  const labels = (value['config'] as Json | null | undefined)?.['Labels'] as Json | null | undefined;
  // Go's encoding/json reads null into an empty string.
  for (const [name, label] of Object.entries(labels ?? {})) if (label === null) labels![name] = '';
  return value as unknown as ImageConfig;
}

const isString = (value: unknown) => typeof value === 'string';
const isStrings = (value: unknown) => Array.isArray(value) && value.every(isString);
const isLabels = (value: unknown) =>
  isObject(value) && Object.values(value).every((label) => label === null || isString(label));

function check(value: unknown, fits: (value: unknown) => boolean, what: string, key: string): void {
  if (value !== undefined && value !== null && !fits(value)) throw corrupt(`${what} has a wrong value in ${key}`);
}

function checkExecution(config: unknown, what: string): void {
  check(config, isObject, what, 'config');
  if (!isObject(config)) return;
  for (const key of ['User', 'WorkingDir', 'StopSignal']) check(config[key], isString, what, `config.${key}`);
  for (const key of ['Env', 'Entrypoint', 'Cmd', 'Shell', 'OnBuild'])
    check(config[key], isStrings, what, `config.${key}`);
  for (const key of ['ExposedPorts', 'Volumes', 'Healthcheck']) check(config[key], isObject, what, `config.${key}`);
  check(config['Labels'], isLabels, what, 'config.Labels');
  // execve(2) ends a string at NUL, so "A=1\0B" would have one value for husk and another for the container.
  const isPassable = (list: unknown) => (list as string[]).every((item) => !item.includes('\0'));
  for (const key of ['Env', 'Entrypoint', 'Cmd', 'Shell']) check(config[key], isPassable, what, `config.${key}`);
  const health = config['Healthcheck'];
  if (!isObject(health)) return;
  check(health['Test'], isStrings, what, 'config.Healthcheck.Test');
  check(health['Test'], isPassable, what, 'config.Healthcheck.Test');
  for (const key of ['Interval', 'Timeout', 'StartPeriod', 'StartInterval', 'Retries'])
    check(health[key], Number.isFinite, what, `config.Healthcheck.${key}`);
}

function checkHistory(history: unknown, what: string): void {
  check(history, (value) => Array.isArray(value) && value.every(isObject), what, 'history');
  for (const entry of (history ?? []) as Json[]) {
    for (const key of ['created', 'created_by', 'author', 'comment'])
      check(entry[key], isString, what, `history.${key}`);
    check(entry['empty_layer'], (value) => typeof value === 'boolean', what, 'history.empty_layer');
  }
}
