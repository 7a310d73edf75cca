/**
 * The filters of lists of images and of their pruning: which match, and which of their names. The functions are pure.
 */
import { HuskError } from '../../errors.ts';
import { goGlob } from '../../notation/go-pattern.ts';
import { hasLabel } from '../../notation/labels.ts';
import { parseMomentMs } from '../../notation/moments.ts';
import { parseBool } from '../../notation/scalars.ts';
import type { Image } from './contract.ts';
import { splitTag } from './reference.ts';

/** keys of filters, moby daemon/images: acceptedImageFilterTags, imagesAcceptedFilters */
const OF_LISTS = new Set(['dangling', 'label', 'label!', 'before', 'since', 'reference', 'until']);
const OF_PRUNING = new Set(['dangling', 'label', 'label!', 'until']);

/**
 * Picks the names that `reference` filters match: as in Docker, an image that is found by one of its names is listed
 * under that name only.
 * @returns all names without such a filter
 */
export function namesFilter({
  reference: patterns,
}: Record<string, string[]>): (image: Image) => Pick<Image, 'repoTags' | 'repoDigests'> {
  if (!patterns) return (image) => image;
  const matchers = patterns.map((pattern) => goGlob(pattern, 'reference pattern'));
  // A pattern matches the name alone, or name and tag (or digest).
  const isMeant = (reference: string, name: string) => matchers.some((matches) => matches(reference) || matches(name));
  return (image) => ({
    repoTags: image.repoTags.filter((tag) => isMeant(tag, splitTag(tag)[0])),
    repoDigests: image.repoDigests.filter((digest) => isMeant(digest, digest.split('@')[0]!)),
  });
}

/**
 * @param options.find looks up `before` and `since`
 * @param options.pruning whether the filters are those of `prune`, which has fewer
 */
export function imageFilter(
  filters: Record<string, string[]>,
  options: { now: number; find: (reference: string) => Image; pruning?: boolean },
): (image: Image) => boolean {
  const known = options.pruning ? OF_PRUNING : OF_LISTS;
  const tests: ((image: Image) => boolean)[] = [];
  for (const [key, values] of Object.entries(filters)) {
    if (!known.has(key))
      throw new HuskError(`invalid filter '${key}'`, { kind: 'invalid', fix: `use one of ${[...known].join(', ')}` });
    if (key === 'dangling') {
      const wanted = values.map((value) => bool(value));
      tests.push((image) => wanted.includes(isDangling(image)));
    } else if (key === 'label' || key === 'label!') {
      // Several labels must all match; of any other key one value is enough.
      for (const value of values)
        tests.push((image) => hasLabel(image.config.config?.Labels ?? {}, value) === (key === 'label'));
    } else if (key === 'reference') {
      const names = namesFilter(filters);
      tests.push((image) => {
        const { repoTags, repoDigests } = names(image);
        return repoTags.length + repoDigests.length > 0;
      });
    } else {
      const times = values.map((value) =>
        key === 'until' ? parseMomentMs(value, options.now) : createdAt(options.find(value)),
      );
      tests.push((image) =>
        times.some((time) => (key === 'since' ? createdAt(image) > time : createdAt(image) < time)),
      );
    }
  }
  return (image) => tests.every((test) => test(image));
}

/** @returns whether no tag leads to an image, of its own or of an index */
export const isDangling = ({ repoTags, indexedBy }: Image): boolean => repoTags.length === 0 && indexedBy === undefined;

/** @returns whether a list shows it where not all are asked for: images of other platforms are behind a tag's own */
export const isListed = ({ repoTags, indexedBy }: Image): boolean => repoTags.length > 0 || indexedBy === undefined;

/** @returns when an image was made, ms since the epoch; 0 when its config does not say */
export function createdAt(image: Image): number {
  const time = Date.parse(image.config.created ?? '');
  return Number.isNaN(time) ? 0 : time;
}

function bool(value: string): boolean {
  try {
    return parseBool(value);
  } catch {
    throw new HuskError(`invalid filter 'dangling=[${value}]'`, { kind: 'invalid' });
  }
}
