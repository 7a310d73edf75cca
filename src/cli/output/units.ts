/** Sizes and times for users, in Docker's words. The functions are pure. Source of the steps: docker/go-units. */

export { humanSize } from '../../notation/sizes.ts';

const BINARY = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB'];

/** @returns a size such as `15.66GiB`: powers of 1024, four significant digits (go-units BytesSize) */
export function binarySize(bytes: number): string {
  let value = bytes;
  let unit = 0;
  while (value >= 1024 && unit < BINARY.length - 1) {
    value /= 1024;
    unit++;
  }
  return `${Number(value.toPrecision(4))}${BINARY[unit]}`;
}

/** @returns Go's default form of a local time: `2006-01-02 15:04:05 -0700 MST` */
export function goLocalTime(ms: number, zone?: string): string {
  const date = new Date(ms);
  const offset = zone === 'UTC' ? 0 : -date.getTimezoneOffset();
  const local = new Date(ms + offset * 60_000).toISOString();
  const sign = offset < 0 ? '-' : '+';
  const hours = String(Math.floor(Math.abs(offset) / 60)).padStart(2, '0');
  const minutes = String(Math.abs(offset) % 60).padStart(2, '0');
  const name =
    zone === 'UTC' || offset === 0
      ? 'UTC'
      : new Intl.DateTimeFormat('en-US', { timeZoneName: 'short' })
          .formatToParts(date)
          .find((part) => part.type === 'timeZoneName')!.value;
  return `${local.slice(0, 10)} ${local.slice(11, 19)} ${sign}${hours}${minutes} ${name.startsWith('GMT') ? `${sign}${hours}` : name}`;
}

/** @returns Go's form of a time that was parsed as UTC, to the ms: `2026-01-02 03:04:05.678 +0000 UTC` */
export function goUtcTime(ms: number): string {
  const [date = '', time = ''] = new Date(ms).toISOString().split('T');
  return `${date} ${time.replace('Z', '').replace(/0+$/, '').replace(/\.$/, '')} +0000 UTC`;
}

/** @returns RFC 3339 in local time, to the second, which Docker shows with --no-human */
export function localIso(ms: number): string {
  const offset = -new Date(ms).getTimezoneOffset();
  const local = new Date(ms + offset * 60_000).toISOString().slice(0, 19);
  if (offset === 0) return `${local}Z`;
  return `${local}${offset < 0 ? '-' : '+'}${String(Math.floor(Math.abs(offset) / 60)).padStart(2, '0')}:${String(Math.abs(offset) % 60).padStart(2, '0')}`;
}

/**
 * @returns local time with nine decimals, as `docker events` prints it: `2017-01-05T00:35:58.859401000+08:00`
 * @param microseconds since the epoch
 */
export function localNanoseconds(microseconds: number): string {
  const ms = Math.floor(microseconds / 1000);
  const [seconds = '', zone = ''] = /^(.{19})(.+)$/.exec(localIso(ms))?.slice(1) ?? [];
  return `${seconds}.${String(microseconds % 1_000_000).padStart(6, '0')}000${zone}`;
}
