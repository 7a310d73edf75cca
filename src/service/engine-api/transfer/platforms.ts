/**
 * `platform` in queries about images: JSON of an OCI platform, several times or once; none, as husk keeps one of each.
 */
import { HuskError } from '../../../errors.ts';
import type { Images, Platform } from '../../../images/store/contract.ts';
import { normalize, requirePlatform } from '../../../images/store/platform.ts';
import type { Query } from '../../http/contract.ts';

/** platforms that one request may name */
const MAX_PLATFORMS = 64;
/** limit of characters of each part of a platform */
const WORD = /^[A-Za-z0-9_.-]{1,64}$/;

/** @throws HuskError `invalid` */
export function platformsOf(query: Query, name = 'platform'): Platform[] {
  const texts = query.all(name).filter((text) => text !== '');
  if (texts.length > MAX_PLATFORMS) throw new HuskError(`over ${MAX_PLATFORMS} values of ${name}`, { kind: 'invalid' });
  return texts.map((text) => readPlatform(text, name));
}

function readPlatform(text: string, name: string): Platform {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw wrong(text, name);
  }
  const { os, architecture, variant } = (value ?? {}) as Record<string, unknown>;
  if (!isWord(os) || !isWord(architecture) || !(variant === undefined || variant === '' || isWord(variant)))
    throw wrong(text, name);
  return normalize({ os, architecture, ...(variant !== undefined && variant !== '' && { variant }) });
}

const isWord = (value: unknown): value is string => typeof value === 'string' && WORD.test(value);

function wrong(text: string, name: string): HuskError {
  return new HuskError(`failed to parse ${name}: ${JSON.stringify(text.slice(0, 200))} is no platform`, {
    kind: 'invalid',
    fix: 'write {"os":"linux","architecture":"amd64"}',
  });
}

/** @throws HuskError `not-found` where an image is for none of the platforms that the query asks for */
export function requireAsked(
  images: Pick<Images, 'get'>,
  references: readonly string[],
  query: Query,
  name = 'platform',
): void {
  for (const platform of platformsOf(query, name)) requirePlatform(images, references, platform);
}
