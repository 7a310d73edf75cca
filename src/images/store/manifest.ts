/**
 * Manifests, indexes and image configs: bytes in, checked values out. Everything here comes from a registry or an
 * archive and is hostile: sizes, digests, counts and types are checked before anybody acts on them. Pure.
 *
 * Source: OCI image-spec 1.1 manifest.md, image-index.md, config.md; Docker "Image Manifest Version 2, Schema 2".
 */
import { HuskError } from '../../errors.ts';
import type { ImageConfig, Platform } from './contract.ts';
import { isDigest } from './reference.ts';

export const OCI_MANIFEST = 'application/vnd.oci.image.manifest.v1+json';
export const OCI_INDEX = 'application/vnd.oci.image.index.v1+json';
export const OCI_CONFIG = 'application/vnd.oci.image.config.v1+json';
export const OCI_LAYER = 'application/vnd.oci.image.layer.v1.tar';
export const OCI_LAYER_GZIP = `${OCI_LAYER}+gzip`;
const OCI_LAYER_ZSTD = `${OCI_LAYER}+zstd`;
export const DOCKER_MANIFEST = 'application/vnd.docker.distribution.manifest.v2+json';
export const DOCKER_LIST = 'application/vnd.docker.distribution.manifest.list.v2+json';
export const DOCKER_CONFIG = 'application/vnd.docker.container.image.v1+json';
const DOCKER_LAYER = 'application/vnd.docker.image.rootfs.diff.tar';
export const DOCKER_LAYER_GZIP = `${DOCKER_LAYER}.gzip`;

/** what a manifest request accepts, best first */
export const MANIFEST_TYPES = [OCI_INDEX, OCI_MANIFEST, DOCKER_LIST, DOCKER_MANIFEST] as const;

/** bytes of a manifest, an index or a config; the bound registries themselves have (distribution: 4 MiB) */
export const MAX_MANIFEST = 4 << 20;
/** lower layers of one overlay mount: OVL_MAX_STACK, fs/overlayfs/super.c */
export const MAX_LAYERS = 500;
/** entries of an index; real ones have a few dozen */
const MAX_INDEX_ENTRIES = 4096;

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
  /** bottom first */
  layers: Descriptor[];
}

export interface IndexEntry extends Descriptor {
  platform?: Platform;
}

export interface Index {
  kind: 'index';
  mediaType: string;
  manifests: IndexEntry[];
}

const corrupt = (message: string) => new HuskError(message, { kind: 'corrupt' });

type Json = Record<string, unknown>;
const isObject = (value: unknown): value is Json =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

function parseObject(bytes: Uint8Array, what: string): Json {
  if (bytes.length > MAX_MANIFEST) throw corrupt(`${what} is larger than ${MAX_MANIFEST} bytes`);
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes));
  } catch (error) {
    // JSON.parse's message quotes the text it failed on, terminal escapes and all: not shown
    throw new HuskError(`${what} is not JSON`, { kind: 'corrupt', cause: error });
  }
  if (!isObject(value)) throw corrupt(`${what} is not a JSON object`);
  return value;
}

function descriptor(value: unknown, what: string): Descriptor {
  if (!isObject(value)) throw corrupt(`${what} is not a descriptor`);
  const { mediaType, digest, size } = value;
  if (!isDigest(digest)) throw corrupt(`${what} has no sha256 digest`);
  if (!Number.isSafeInteger(size) || (size as number) < 0) throw corrupt(`${what} has no valid size`);
  return { mediaType: typeof mediaType === 'string' ? mediaType : '', digest, size: size as number };
}

/**
 * Reads a manifest or an index. The body's own `mediaType` wins over the header's; with neither, its fields tell.
 * @param contentType of the response, or '' (a layout's blob)
 * @throws HuskError `corrupt`; `unsupported` for schema 1 and for things that are no images
 */
export function parseManifest(bytes: Uint8Array, contentType: string, what: string): Manifest | Index {
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
  // a body that is both is the confusion attack of CVE-2021-41190: readers would disagree about what was pulled
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
  if (manifest.config.mediaType !== OCI_CONFIG && manifest.config.mediaType !== DOCKER_CONFIG)
    throw new HuskError(
      `${what} is not an image: its config has media type ${JSON.stringify(manifest.config.mediaType.slice(0, 100))}`,
      { kind: 'unsupported' },
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
    const platform = (entry as Json)['platform'];
    if (isObject(platform) && typeof platform['os'] === 'string' && typeof platform['architecture'] === 'string') {
      result.platform = { os: platform['os'], architecture: platform['architecture'] };
      if (typeof platform['variant'] === 'string' && platform['variant'] !== '')
        result.platform.variant = platform['variant'];
    }
    return result;
  });
}

/** @throws HuskError `unsupported` for anything but tar, tar+gzip and tar+zstd in the OCI's or Docker's names */
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
 * Checks what the engine relies on and leaves the rest as it is.
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

/** A config that was checked when it came, out of its stored text. @throws SyntaxError */
export const readImageConfig = (text: string): ImageConfig => withDefaults(JSON.parse(text) as Json);

/** What Docker takes a config to say that does not say it. */
function withDefaults(value: Json): ImageConfig {
  // images of old tools (and of `umoci new`) may lack these; Docker takes the host's
  value['os'] ||= 'linux';
  value['architecture'] ||= 'amd64';
  const labels = (value['config'] as Json | null | undefined)?.['Labels'] as Json | null | undefined;
  // encoding/json reads null into an empty string
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
  // execve(2) ends a string at NUL: "A=1\0B" would be another value here than there
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
