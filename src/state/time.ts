/**
 * The wall clock in nanoseconds, and RFC 3339 as Docker writes it (time.RFC3339Nano of Go: UTC, trailing zeros cut
 * off).
 */

/** wall clock minus monotonic clock at load, ns: hrtime has the resolution, Date the epoch */
const offset = BigInt(Date.now()) * 1_000_000n - process.hrtime.bigint();

/**
 * ns of drift between the two clocks; a larger drift means that the wall clock was stepped (NTP, suspend), and is
 * followed
 */
const MAX_DRIFT = 50_000_000n;

/** @returns the time, ns since the epoch */
export function nowNanoseconds(): bigint {
  const precise = process.hrtime.bigint() + offset;
  const wall = BigInt(Date.now()) * 1_000_000n;
  const drift = precise > wall ? precise - wall : wall - precise;
  return drift > MAX_DRIFT ? wall : precise;
}

/** @param nanoseconds time, ns since the epoch */
export function rfc3339(nanoseconds: bigint = nowNanoseconds()): string {
  const seconds = new Date(Number(nanoseconds / 1_000_000_000n) * 1000).toISOString().slice(0, 19);
  const fraction = String(nanoseconds % 1_000_000_000n)
    .padStart(9, '0')
    .replace(/0+$/, '');
  return fraction === '' ? `${seconds}Z` : `${seconds}.${fraction}Z`;
}

/** @returns ns since the epoch, or undefined when the text is no RFC 3339 time */
export function parseRfc3339(text: string): bigint | undefined {
  const match = /^(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?(Z|[+-]\d\d:\d\d)$/.exec(text);
  if (!match) return undefined;
  const ms = Date.parse(match[1]! + match[3]!);
  if (Number.isNaN(ms)) return undefined;
  return BigInt(ms) * 1_000_000n + BigInt((match[2] ?? '').padEnd(9, '0'));
}

/**
 * @param moment ms since the epoch, or ns as a bigint
 * @returns ns; infinite times lie beyond all others
 */
export function nanoseconds(moment: number | bigint): bigint {
  if (typeof moment === 'bigint') return moment;
  const ms = Math.min(Math.max(moment, -MAX_DATE), MAX_DATE);
  return BigInt(Math.trunc(ms)) * 1_000_000n + BigInt(Math.round((ms % 1) * 1e6));
}

/** limit of Date in ms, to either side: ECMA-262 § 21.4.1.1 */
const MAX_DATE = 8.64e15;

/**
 * @returns the first whole ms at which the time is over
 * @param moment ns
 */
export function msAfter(moment: bigint): number {
  return Number((moment + 999_999n) / 1_000_000n);
}

/**
 * @returns whole seconds since an RFC 3339 time, as text, for `execDuration` of an event; 0 where the clock was set
 * back, or the container never started
 */
export function ranFor(startedAt: string): string {
  return String(Math.max(0, Math.floor((Date.now() - Date.parse(startedAt)) / 1000)) || 0);
}
