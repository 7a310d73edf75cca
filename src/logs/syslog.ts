/**
 * The driver syslog: the destination and the form of its messages, both as in Docker (moby daemon/logger/syslog;
 * RackSec/srslog's formatters and framers). This module decides and makes bytes; message-log.ts sends them.
 */
import { existsSync, statSync } from 'node:fs';
import { hostname } from 'node:os';
import { HuskError } from '../errors.ts';
import type { Stream } from './sink.ts';
import type { Destination } from './transport.ts';

const FACILITIES = [
  'kern',
  'user',
  'mail',
  'daemon',
  'auth',
  'syslog',
  'lpr',
  'news',
  'uucp',
  'cron',
  'authpriv',
  'ftp',
];
const LOCAL0 = 16;
const DAEMON = 3;
/** RFC 5424 § 6.2.1: severities err and info */
const SEVERITY: Record<Stream, number> = { stderr: 3, stdout: 6 };
const FORMATS = ['', 'rfc3164', 'rfc5424', 'rfc5424micro'];
/** port that IANA assigns to syslog */
const PORT = 514;
/** paths where the socket of this host's own syslog may be */
const LOCAL = ['/dev/log', '/var/run/syslog', '/var/run/log'];

export const SYSLOG_KEYS = [
  'syslog-address',
  'syslog-facility',
  'syslog-tls-ca-cert',
  'syslog-tls-cert',
  'syslog-tls-key',
  'syslog-tls-skip-verify',
  'syslog-format',
];

export interface SyslogSettings {
  destination: Destination;
  facility: number;
  format: string;
}

/** @throws HuskError `invalid` in Docker's words */
export function syslogSettings(options: Record<string, string>): SyslogSettings {
  const format = options['syslog-format'] ?? '';
  if (!FORMATS.includes(format)) throw invalid('Invalid syslog format');
  return { destination: destination(options), facility: facility(options['syslog-facility'] ?? ''), format };
}

function facility(text: string): number {
  if (text === '') return DAEMON;
  const local = /^local([0-7])$/.exec(text);
  const number = local ? LOCAL0 + Number(local[1]) : /^\d{1,2}$/.test(text) ? Number(text) : FACILITIES.indexOf(text);
  if (number < 0 || number > LOCAL0 + 7) throw invalid('invalid syslog facility');
  return number;
}

function destination(options: Record<string, string>): Destination {
  const address = options['syslog-address'] ?? '';
  if (address === '')
    return {
      kind: 'unixgram',
      path: LOCAL.find((path) => statSync(path, { throwIfNoEntry: false })?.isSocket()) ?? LOCAL[0]!,
    };
  const [, scheme = '', rest = ''] = /^([a-z+]+):\/\/(.*)$/.exec(address) ?? [];
  if (scheme === 'unix' || scheme === 'unixgram') {
    if (!rest.startsWith('/')) throw invalid(`syslog-address should be in form proto://address, got ${address}`);
    if (!existsSync(rest)) throw invalid(`stat ${rest}: no such file or directory`);
    return { kind: scheme, path: rest };
  }
  if (scheme !== 'udp' && scheme !== 'tcp' && scheme !== 'tcp+tls')
    throw invalid(`syslog-address should be in form proto://address, got ${address}`);
  const { host, port } = hostAndPort(rest, PORT, 'syslog-address');
  if (scheme !== 'tcp+tls') return { kind: scheme, host, port };
  const skip = options['syslog-tls-skip-verify'];
  return {
    kind: 'tls',
    host,
    port,
    ca: options['syslog-tls-ca-cert'],
    cert: options['syslog-tls-cert'],
    key: options['syslog-tls-key'],
    skipVerify: skip !== undefined,
  };
}

/** Parses `host`, `host:port`, `[v6]:port`. */
export function hostAndPort(text: string, port: number, key: string): { host: string; port: number } {
  const match = /^(?:\[([0-9a-fA-F:.%]{2,64})\]|([^:/[\]]{1,253}))(?::(\d{1,5}))?$/.exec(text);
  if (!match || Number(match[3] ?? port) > 0xffff) throw invalid(`invalid ${key} ${JSON.stringify(text)}`);
  return { host: match[1] ?? match[2]!, port: Number(match[3] ?? port) };
}

/**
 * @param tag the container's tag
 * @returns a function that makes a message of a line
 */
export function syslogEncoder(
  { facility, format, destination }: SyslogSettings,
  tag: string,
  { name = hostname(), pid = process.pid } = {},
): (line: Uint8Array, stream: Stream, time: Date) => Buffer {
  return (line, stream, time) => {
    const priority = facility * 8 + SEVERITY[stream];
    const header =
      format === ''
        ? `<${priority}>${stamp(time)} ${tag}[${pid}]: `
        : format === 'rfc3164'
          ? `<${priority}>${stamp(time)} ${name} ${tag}[${pid}]: `
          : `<${priority}>1 ${rfc3339(time, format === 'rfc5424micro')} ${name} ${tag} ${pid} ${tag} - `;
    // srslog ends each message with a line feed, in datagrams too.
    const message = Buffer.concat([Buffer.from(header), line, Buffer.from('\n')]);
    // RFC 5425 § 4.3: over TLS each message has its length in front.
    return destination.kind === 'tls' && format.startsWith('rfc5424')
      ? Buffer.concat([Buffer.from(`${message.length} `), message])
      : message;
  };
}

const MONTHS = ['Jan', 'Feb', 'Mar', 'Apr', 'May', 'Jun', 'Jul', 'Aug', 'Sep', 'Oct', 'Nov', 'Dec'];
const two = (number: number) => String(number).padStart(2, '0');
const clock = (time: Date) => [time.getHours(), time.getMinutes(), time.getSeconds()].map(two).join(':');

/** @returns the time of RFC 3164 § 4.1.2, in local time: `Jan  2 15:04:05` */
function stamp(time: Date): string {
  return `${MONTHS[time.getMonth()]} ${String(time.getDate()).padStart(2, ' ')} ${clock(time)}`;
}

/** @returns the time of RFC 3339 in local time, as Go writes it: `2006-01-02T15:04:05[.000000]Z07:00` */
function rfc3339(time: Date, micro: boolean): string {
  const offset = -time.getTimezoneOffset();
  const zone =
    offset === 0
      ? 'Z'
      : `${offset < 0 ? '-' : '+'}${two(Math.floor(Math.abs(offset) / 60))}:${two(Math.abs(offset) % 60)}`;
  const fraction = micro ? `.${String(time.getMilliseconds()).padStart(3, '0')}000` : '';
  const day = `${time.getFullYear()}-${two(time.getMonth() + 1)}-${two(time.getDate())}`;
  return `${day}T${clock(time)}${fraction}${zone}`;
}

function invalid(message: string): HuskError {
  return new HuskError(message, { kind: 'invalid', exitCode: 125 });
}
