/** Files of http(s) as ADD and contexts name them, and what an answer's headers say of one. Pure. */
import { HuskError } from '../../../errors.ts';
import { redacted } from './git-url.ts';

/** characters of a URL: what servers take */
const MAX_URL = 8192;
/** bytes of a name (NAME_MAX of linux/limits.h) */
const MAX_NAME = 255;
/** BuildKit's, for a URL that names nothing */
const UNNAMED = '__unnamed__';
/** characters of an ETag that is worth keeping */
const MAX_ETAG = 1024;
const ETAG = /^(?:W\/)?"[\x21\x23-\x7e\x80-\xff]*"$/;
/** IMF-fixdate, RFC 9110 §5.6.7 */
const HTTP_DATE = /^[A-Z][a-z]{2}, \d{2} [A-Z][a-z]{2} \d{4} \d{2}:\d{2}:\d{2} GMT$/;

/** @throws HuskError `invalid` for what is no URL of http or https */
export function parseHttpUrl(text: string): URL {
  const refuse = (why: string) =>
    new HuskError(`invalid URL ${JSON.stringify(redacted(text).slice(0, 200))}: ${why}`, { kind: 'invalid' });
  if (text.length > MAX_URL) throw refuse(`it is longer than ${MAX_URL} characters`);
  if (/[\x00-\x20\x7f]/.test(text)) throw refuse('it has a space or a control character');
  let url: URL;
  try {
    url = new URL(text);
  } catch {
    throw refuse('it cannot be parsed');
  }
  if (url.protocol !== 'http:' && url.protocol !== 'https:') throw refuse('it is neither http nor https');
  return url;
}

/** @returns the name that a file gets in a folder: the last part of the path @throws HuskError for one no file has */
export function fileNameOf(url: URL): string {
  let path = url.pathname;
  try {
    path = decodeURIComponent(path);
  } catch {
    // It stays as it is written.
  }
  const name = path.replace(/\/+$/, '').split('/').at(-1)!;
  if (name === '') return UNNAMED;
  // In a layer a name that begins so deletes another.
  const isWhiteout = name.startsWith('.wh.');
  if (isWhiteout || name === '.' || name === '..' || name.includes('\0') || Buffer.byteLength(name) > MAX_NAME)
    throw new HuskError(`invalid URL: no file can have the name ${JSON.stringify(name.slice(0, 100))}`, {
      kind: 'invalid',
    });
  return name;
}

/** @returns seconds since 1970; undefined for a header that is absent or no date that a file can have */
export function parseLastModified(header: string | undefined): number | undefined {
  if (header === undefined || !HTTP_DATE.test(header)) return undefined;
  const time = Date.parse(header) / 1000;
  return Number.isFinite(time) && time >= 0 ? time : undefined;
}

/** @returns the ETag as it is; undefined for one that is absent, malformed or endless */
export const parseEtag = (header: string | undefined): string | undefined =>
  header !== undefined && header.length <= MAX_ETAG && ETAG.test(header) ? header : undefined;
