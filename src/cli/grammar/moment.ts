/** Times as `--since` and `--until` take them: RFC 3339, dates, seconds since the epoch, or a duration back from now. Pure. */
import { HuskError } from '../../errors.ts';
import { parseDuration } from './scalars.ts';

const NANOSECONDS_PER_MS = 1e6;

/** @returns ms since the epoch */
export function parseMoment(text: string, now: number): number {
  if (/^-?\d+(\.\d{1,9})?$/.test(text)) return Number(text) * 1000;
  // a date with a zone and no time: midnight there
  const zoned = /^(\d{4}-\d{2}-\d{2})(Z|[+-]\d{2}:\d{2})$/.exec(text);
  if (zoned) return Date.parse(`${zoned[1]}T00:00:00${zoned[2]}`);
  if (/^\d{4}-\d{2}-\d{2}([T ]\d{2}(:\d{2}(:\d{2}(\.\d{1,9})?)?)?(Z|[+-]\d{2}:?\d{2})?)?$/.test(text)) {
    // JavaScript reads a bare date as UTC and wants minutes; Docker reads both as local time
    const full = text.replace(' ', 'T');
    const dated = full.length === 10 ? `${full}T00:00:00` : /T\d{2}$/.test(full) ? `${full}:00:00` : full.replace(/(T\d{2})(?=Z|[+-])/, '$1:00');
    const value = Date.parse(dated);
    if (!Number.isNaN(value)) return value;
  }
  try {
    return now - parseDuration(text) / NANOSECONDS_PER_MS;
  } catch {
    throw new HuskError(`invalid time: ${JSON.stringify(text)}`, { kind: 'invalid', fix: 'use a time such as 2026-01-02T15:04:05Z, seconds since 1970, or a duration such as 42m' });
  }
}
