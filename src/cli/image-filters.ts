/** The filters of `images` and `image prune`: which images are meant, and which of their names. Pure. */
import { HuskError } from '../errors.ts';
import type { Image } from '../images/contract.ts';
import { parseBool } from './grammar/scalars.ts';
import { parseMoment } from './grammar/moment.ts';
import { createdAt, splitTag } from './output/image-row.ts';

const KNOWN = new Set(['dangling', 'label', 'label!', 'before', 'since', 'reference', 'until']);

/**
 * The names that `reference` filters mean, as Docker has it: an image that is asked for by one of its names is listed
 * under that one only.
 * Without such a filter all names.
 */
export function wantedNames(
  image: Image,
  { reference: patterns }: Record<string, string[]>,
): Pick<Image, 'repoTags' | 'repoDigests'> {
  if (!patterns) return image;
  return {
    repoTags: image.repoTags.filter((tag) => patterns.some((pattern) => matchesReference(tag, pattern))),
    repoDigests: image.repoDigests.filter((digest) => patterns.some((pattern) => matchesDigest(digest, pattern))),
  };
}

/** @param find looks up `before` and `since` */
export function imageFilter(filters: Record<string, string[]>, options: { now: number; find: (reference: string) => Image }): (image: Image) => boolean {
  const tests: ((image: Image) => boolean)[] = [];
  for (const [key, values] of Object.entries(filters)) {
    if (!KNOWN.has(key)) throw new HuskError(`invalid filter '${key}'`, { kind: 'invalid', fix: `use one of ${[...KNOWN].join(', ')}` });
    if (key === 'dangling') {
      const wanted = values.map((value) => bool(value));
      tests.push((image) => wanted.includes(image.repoTags.length === 0));
    } else if (key === 'label' || key === 'label!') {
      // labels are and-ed, the values of every other key or-ed
      for (const value of values) tests.push((image) => hasLabel(image, value) === (key === 'label'));
    } else if (key === 'reference') {
      tests.push((image) => {
        const { repoTags, repoDigests } = wantedNames(image, filters);
        return repoTags.length + repoDigests.length > 0;
      });
    } else {
      const times = values.map((value) => (key === 'until' ? parseMoment(value, options.now) : createdAt(options.find(value))));
      tests.push((image) => times.some((time) => (key === 'since' ? createdAt(image) > time : createdAt(image) < time)));
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

function hasLabel(image: Image, wanted: string): boolean {
  const equals = wanted.indexOf('=');
  const labels = image.config.config?.Labels ?? {};
  const name = equals === -1 ? wanted : wanted.slice(0, equals);
  return Object.hasOwn(labels, name) && (equals === -1 || labels[name] === wanted.slice(equals + 1));
}

/** a pattern matches the name alone, or name and tag */
export function matchesReference(reference: string, pattern: string): boolean {
  const expression = glob(pattern);
  return expression.test(reference) || expression.test(splitTag(reference)[0]);
}

/** of `name@sha256:…`: the name alone, or all of it */
function matchesDigest(reference: string, pattern: string): boolean {
  const expression = glob(pattern);
  return expression.test(reference) || expression.test(reference.split('@')[0]!);
}

/** Go's path.Match: `*` and `?` stop at a slash, `[a-z]` */
function glob(pattern: string): RegExp {
  let source = '';
  for (let index = 0; index < pattern.length; index++) {
    const character = pattern[index]!;
    const close = character === '[' ? pattern.indexOf(']', index + 2) : -1;
    if (character === '*') source += source.endsWith('[^/]*') ? '' : '[^/]*';
    else if (character === '?') source += '[^/]';
    else if (close !== -1) {
      source += `[${pattern.slice(index + 1, close).replace(/[\\[\]]/g, '\\$&')}]`;
      index = close;
    } else source += character.replace(/[\\^$.*+?()[\]{}|/]/g, '\\$&');
  }
  try {
    return new RegExp(`^${source}$`, 'u');
  } catch {
    throw new HuskError(`invalid reference pattern '${pattern}'`, { kind: 'invalid' });
  }
}
