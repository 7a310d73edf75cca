/**
 * Times as `--since` and `--until` take them: RFC 3339, dates, seconds since the epoch, or a duration back from now.
 * These functions are pure.
 */
import { HuskError } from '../errors.ts';
import { parseDuration } from './durations.ts';

const NANOSECONDS_PER_MS = 1_000_000n;
const NANOSECONDS_PER_SECOND = 1_000_000_000n;

/**
 * Parses a time to the nanosecond, because a time that `logs -t` prints may be passed to `--since` and `--until`, where
 * it must name that very line.
 * @param now ms since the epoch
 * @returns ns since the epoch
 */
export function parseMoment(text: string, now: number): bigint {
  const moment = secondsOf(text) ?? dateOf(text);
  if (moment !== undefined) return moment;
  try {
    return BigInt(now) * NANOSECONDS_PER_MS - BigInt(parseDuration(text));
  } catch {
    throw new HuskError(`invalid time: ${JSON.stringify(text)}`, {
      kind: 'invalid',
      fix: 'use a time such as 2026-01-02T15:04:05Z, seconds since 1970, or a duration such as 42m',
    });
  }
}

/** Parses a time to the ms, for records that have no finer times. */
export const parseMomentMs = (text: string, now: number): number =>
  Number(parseMoment(text, now)) / Number(NANOSECONDS_PER_MS);

/** Parses `1700000000`, `1700000000.000000001`; twelve digits are thirty thousand years. */
function secondsOf(text: string): bigint | undefined {
  const match = /^(-?)(\d{1,12})(?:\.(\d{1,9}))?$/.exec(text);
  if (!match) return undefined;
  const magnitude = BigInt(match[2]!) * NANOSECONDS_PER_SECOND + fraction(match[3]);
  return match[1] === '-' ? -magnitude : magnitude;
}

function dateOf(text: string): bigint | undefined {
  const match =
    /^(\d{4}-\d{2}-\d{2})(?:[T ](\d{2})(?::(\d{2})(?::(\d{2})(?:\.(\d{1,9}))?)?)?)?(Z|[+-]\d{2}:?\d{2})?$/.exec(text);
  if (!match) return undefined;
  const [, date, hour = '00', minute = '00', second = '00', digits, zone = ''] = match;
  // Hours, minutes and seconds are always written out: JavaScript reads a bare date as UTC and requires minutes, Docker
  // reads both as local time.
  const ms = Date.parse(`${date}T${hour}:${minute}:${second}${zone}`);
  return Number.isNaN(ms) ? undefined : BigInt(ms) * NANOSECONDS_PER_MS + fraction(digits);
}

const fraction = (digits = ''): bigint => BigInt(digits.padEnd(9, '0'));
