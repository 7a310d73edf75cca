/** The filters of `images` and `image prune`: which images are meant, and which of their names. Pure. */
import { HuskError } from '../errors.ts';
import { goGlob } from '../notation/go-pattern.ts';
import type { Image } from '../images/store/contract.ts';
import { hasLabel } from '../notation/labels.ts';
import { parseBool } from '../notation/scalars.ts';
import { parseMomentMs } from '../notation/moments.ts';
import { createdAt, splitTag } from './output/image-row.ts';

/** moby daemon/images: acceptedImageFilterTags, imagesAcceptedFilters */
const OF_LISTS = new Set(['dangling', 'label', 'label!', 'before', 'since', 'reference', 'until']);
const OF_PRUNING = new Set(['dangling', 'label', 'label!', 'until']);

/**
 * The names that `reference` filters mean, as Docker has it: an image that is asked for by one of its names is listed
 * under that one only.
 * @returns all names without such a filter
 */
export function namesFilter({
  reference: patterns,
}: Record<string, string[]>): (image: Image) => Pick<Image, 'repoTags' | 'repoDigests'> {
  if (!patterns) return (image) => image;
  const matchers = patterns.map((pattern) => goGlob(pattern, 'reference pattern'));
  // a pattern matches the name alone, or name and tag (or digest)
  const isMeant = (reference: string, name: string) => matchers.some((matches) => matches(reference) || matches(name));
  return (image) => ({
    repoTags: image.repoTags.filter((tag) => isMeant(tag, splitTag(tag)[0])),
    repoDigests: image.repoDigests.filter((digest) => isMeant(digest, digest.split('@')[0]!)),
  });
}

/** @param find looks up `before` and `since`; @param pruning the filters are those of `prune`, which has fewer */
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
      tests.push((image) => wanted.includes(image.repoTags.length === 0));
    } else if (key === 'label' || key === 'label!') {
      // labels are and-ed, the values of every other key or-ed
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

function bool(value: string): boolean {
  try {
    return parseBool(value);
  } catch {
    throw new HuskError(`invalid filter 'dangling=[${value}]'`, { kind: 'invalid' });
  }
}
