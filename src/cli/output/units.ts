/** Sizes and times for people, worded as Docker words them. Pure. Source of the steps: docker/go-units. */

const DECIMAL = ['B', 'kB', 'MB', 'GB', 'TB', 'PB', 'EB'];

/** `4.26MB`: powers of 1000, at most `digits` significant digits (Go's %.4g) */
export function humanSize(bytes: number, digits = 4): string {
  let value = bytes;
  let unit = 0;
  while (value >= 1000 && unit < DECIMAL.length - 1) {
    value /= 1000;
    unit++;
  }
  return `${Number(value.toPrecision(digits))}${DECIMAL[unit]}`;
}

const BINARY = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB'];

/** `15.66GiB`: powers of 1024, four significant digits (go-units BytesSize) */
export function binarySize(bytes: number): string {
  let value = bytes;
  let unit = 0;
  while (value >= 1024 && unit < BINARY.length - 1) {
    value /= 1024;
    unit++;
  }
  return `${Number(value.toPrecision(4))}${BINARY[unit]}`;
}

/** `About a minute`, `2 hours`: how long something lasted. @param ms milliseconds */
export function humanDuration(ms: number): string {
  const seconds = Math.floor(ms / 1000);
  if (seconds < 1) return 'Less than a second';
  if (seconds === 1) return '1 second';
  if (seconds < 60) return `${seconds} seconds`;
  const minutes = Math.floor(seconds / 60);
  if (minutes === 1) return 'About a minute';
  if (minutes < 60) return `${minutes} minutes`;
  const hours = Math.floor(seconds / 3600 + 0.5);
  if (hours === 1) return 'About an hour';
  if (hours < 48) return `${hours} hours`;
  if (hours < 24 * 7 * 2) return `${Math.floor(hours / 24)} days`;
  if (hours < 24 * 30 * 2) return `${Math.floor(hours / 24 / 7)} weeks`;
  if (hours < 24 * 365 * 2) return `${Math.floor(hours / 24 / 30)} months`;
  return `${Math.floor(hours / 24 / 365)} years`;
}

/** `2 hours ago` */
export function ago(then: number, now: number): string {
  return `${humanDuration(Math.max(0, now - then))} ago`;
}

/** `2006-01-02 15:04:05 -0700 MST`, Go's default form of a local time */
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

/** RFC 3339 in local time, to the second: what Docker shows with --no-human. */
export function localIso(ms: number): string {
  const offset = -new Date(ms).getTimezoneOffset();
  const local = new Date(ms + offset * 60_000).toISOString().slice(0, 19);
  if (offset === 0) return `${local}Z`;
  return `${local}${offset < 0 ? '-' : '+'}${String(Math.floor(Math.abs(offset) / 60)).padStart(2, '0')}:${String(Math.abs(offset) % 60).padStart(2, '0')}`;
}

/**
 * `2017-01-05T00:35:58.859401000+08:00`: local time with nine decimals, as `docker events` prints it. @param
 * microseconds since the epoch
 */
export function localNanoseconds(microseconds: number): string {
  const ms = Math.floor(microseconds / 1000);
  const [seconds = '', zone = ''] = /^(.{19})(.+)$/.exec(localIso(ms))?.slice(1) ?? [];
  return `${seconds}.${String(microseconds % 1_000_000).padStart(6, '0')}000${zone}`;
}
