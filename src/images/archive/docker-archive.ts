/**
 * Parses manifest.json of a docker-archive: bytes in, checked values out. The parser is pure.
 * Source: moby image/spec/v1.2.md § Combined Image JSON + Filesystem Changeset Format.
 */
import { HuskError } from '../../errors.ts';
import { MAX_LAYERS } from '../store/manifest.ts';

/** limits of images of one archive, and of names of one image */
const MAX_IMAGES = 4096;
const MAX_TAGS = 4096;
/** limit of bytes of a path in the archive: PATH_MAX */
const MAX_PATH = 4095;

export interface ArchivedImage {
  /** path of the config in the archive */
  config: string;
  /** paths of the layers in the archive, bottom first */
  layers: string[];
  /** names as they stand, not parsed yet */
  repoTags: string[];
}

const corrupt = (message: string) => new HuskError(`invalid archive: manifest.json ${message}`, { kind: 'corrupt' });

/** Parses and checks the manifest. @throws HuskError `corrupt` */
export function parseArchiveManifest(bytes: Uint8Array): ArchivedImage[] {
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes));
  } catch (error) {
    throw new HuskError('invalid archive: manifest.json is not JSON', { kind: 'corrupt', cause: error });
  }
  if (!Array.isArray(value)) throw corrupt('is not a list');
  if (value.length > MAX_IMAGES) throw corrupt(`has more than ${MAX_IMAGES} images`);
  return value.map((item: unknown, index) => {
    const { Config, Layers, RepoTags } = (item ?? {}) as Record<string, unknown>;
    const where = `image ${index + 1}`;
    if (!isPath(Config)) throw corrupt(`has no Config in ${where}`);
    // An image without layers may have null here.
    const layers = Layers ?? [];
    if (!Array.isArray(layers) || !layers.every(isPath)) throw corrupt(`has wrong Layers in ${where}`);
    if (layers.length > MAX_LAYERS) throw corrupt(`has more than ${MAX_LAYERS} layers in ${where}`);
    const repoTags = RepoTags ?? [];
    if (!Array.isArray(repoTags) || repoTags.length > MAX_TAGS || !repoTags.every((tag) => typeof tag === 'string'))
      throw corrupt(`has wrong RepoTags in ${where}`);
    return { config: cleanPath(Config), layers: layers.map(cleanPath), repoTags: repoTags as string[] };
  });
}

const isPath = (value: unknown): value is string =>
  typeof value === 'string' && value !== '' && value.length <= MAX_PATH;

/** Removes the `./` that some tools write. Members have clean names, so a path with `..` finds none. */
const cleanPath = (path: string) => path.replace(/^(?:\.\/)+/, '');
