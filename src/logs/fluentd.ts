/**
 * The driver fluentd: fluentd's forward protocol, one message per entry, in MessagePack. This module decides and makes
 * bytes; message-log.ts sends them. Source: Forward Protocol Specification v1 (Message Modes § Message, EventTime);
 * msgpack/spec.md; moby daemon/logger/fluentd.
 */
import { HuskError } from '../errors.ts';
import { parseDuration } from '../notation/durations.ts';
import { parseBool } from '../notation/scalars.ts';
import { parseBytes } from '../notation/sizes.ts';
import { hostAndPort } from './syslog.ts';
import type { LoggedContainer } from './request.ts';
import type { Stream } from './sink.ts';
import type { Destination } from './transport.ts';

/** the default port of fluentd and of Docker */
const PORT = 24_224;
const HOST = '127.0.0.1';

export const FLUENTD_KEYS = [
  'fluentd-address',
  'fluentd-async',
  'fluentd-async-connect',
  'fluentd-async-reconnect-interval',
  'fluentd-buffer-limit',
  'fluentd-max-retries',
  'fluentd-request-ack',
  'fluentd-retry-wait',
  'fluentd-sub-second-precision',
  'fluentd-write-timeout',
];
/**
 * The reader of each option, as in moby's driver: strconv.ParseBool, time.ParseDuration, units.RAMInBytes,
 * strconv.ParseUint.
 */
const READERS: Record<string, (text: string) => unknown> = {
  'fluentd-async': parseBool,
  'fluentd-async-connect': parseBool,
  'fluentd-async-reconnect-interval': parseWait,
  'fluentd-buffer-limit': parseBytes,
  'fluentd-max-retries': parseUint32,
  'fluentd-request-ack': parseBool,
  'fluentd-retry-wait': parseWait,
  'fluentd-sub-second-precision': parseBool,
  'fluentd-write-timeout': parseWait,
};
const isTrue = (text: string | undefined) => text !== undefined && parseBool(text);

function parseWait(text: string): number {
  const wait = parseDuration(text);
  if (wait < 0) throw new Error('it is negative');
  return wait;
}

function parseUint32(text: string): number {
  if (!/^\d{1,10}$/.test(text)) throw new Error('it is no whole number');
  return Number(text);
}

export interface FluentdSettings {
  destination: Destination;
  /** whether the container starts even without a listener */
  isAsync: boolean;
  subSecond: boolean;
}

/** @throws HuskError `invalid`; `unsupported` for acknowledgements, which husk does not read */
export function fluentdSettings(options: Record<string, string>): FluentdSettings {
  for (const [key, read] of Object.entries(READERS)) {
    const value = options[key];
    try {
      if (value !== undefined) read(value);
    } catch (cause) {
      throw new HuskError(`invalid value for ${key}: ${JSON.stringify(value)}`, {
        kind: 'invalid',
        exitCode: 125,
        cause,
      });
    }
  }
  if (isTrue(options['fluentd-request-ack']))
    throw new HuskError('fluentd-request-ack: husk does not wait for acknowledgements', {
      kind: 'unsupported',
      exitCode: 125,
      fix: 'leave it out',
    });
  return {
    destination: destination(options['fluentd-address'] ?? ''),
    isAsync: isTrue(options['fluentd-async'] ?? options['fluentd-async-connect']),
    subSecond: isTrue(options['fluentd-sub-second-precision']),
  };
}

function destination(address: string): Destination {
  const [, scheme = 'tcp', rest = address] = /^([a-z]+):\/\/(.*)$/.exec(address) ?? [];
  if (scheme === 'unix') {
    if (!rest.startsWith('/') || rest === '/')
      throw new HuskError(`invalid fluentd-address (${address}): path is empty`, { kind: 'invalid', exitCode: 125 });
    return { kind: 'unix', path: rest };
  }
  if (scheme !== 'tcp' && scheme !== 'tls')
    throw new HuskError(`invalid fluentd-address (${address}): unsupported scheme: '${scheme}'`, {
      kind: 'invalid',
      exitCode: 125,
    });
  const bare = rest.replace(/\/$/, '');
  if (bare.includes('/'))
    throw new HuskError(`invalid fluentd-address (${address}): should not contain a path element`, {
      kind: 'invalid',
      exitCode: 125,
    });
  const { host, port } =
    bare === ''
      ? { host: HOST, port: PORT }
      : hostAndPort(bare.startsWith(':') ? HOST + bare : bare, PORT, 'fluentd-address');
  return scheme === 'tls' ? { kind: 'tls', host, port, skipVerify: false } : { kind: 'tcp', host, port };
}

/** Makes the encoder of a container's lines. Every entry has Docker's own fields, and `extra` after them. */
export function fluentdEncoder(
  { subSecond }: FluentdSettings,
  { container, tag, extra }: { container: LoggedContainer; tag: string; extra: Record<string, string> },
): (line: Uint8Array, stream: Stream, time: Date, partial: boolean) => Buffer {
  const shared = Object.entries({ container_id: container.id, container_name: `/${container.name}`, ...extra }).flatMap(
    ([key, value]) => [text(key), text(value)],
  );
  const count = shared.length / 2 + 2;
  const head = Buffer.concat([Buffer.of(FIXARRAY | 3), text(tag)]);
  const common = Buffer.concat(shared);
  return (line, stream, time, partial) =>
    Buffer.concat([
      head,
      subSecond ? eventTime(time) : seconds(time),
      map(count + (partial ? 1 : 0)),
      common,
      text('source'),
      text(stream),
      ...(partial ? [text('partial_message'), text('true')] : []),
      text('log'),
      string(line),
    ]);
}

/** type bytes, msgpack/spec.md § Overview */
const FIXARRAY = 0x90;
const FIXMAP = 0x80;
const FIXSTR = 0xa0;
const MAP_16 = 0xde;
const STR_8 = 0xd9;
const STR_16 = 0xda;
const STR_32 = 0xdb;
const UINT_32 = 0xce;
const FIXEXT_8 = 0xd7;
const EVENT_TIME = 0x00;

const text = (value: string): Buffer => string(Buffer.from(value));

function string(bytes: Uint8Array): Buffer {
  const { length } = bytes;
  const head =
    length < 32
      ? Buffer.of(FIXSTR | length)
      : length < 2 ** 8
        ? Buffer.of(STR_8, length)
        : length < 2 ** 16
          ? sized(STR_16, 2, length)
          : sized(STR_32, 4, length);
  return Buffer.concat([head, bytes]);
}

const map = (count: number): Buffer => (count < 16 ? Buffer.of(FIXMAP | count) : sized(MAP_16, 2, count));

function sized(type: number, bytes: 2 | 4, value: number): Buffer {
  const head = Buffer.alloc(1 + bytes);
  head[0] = type;
  head.writeUIntBE(value, 1, bytes);
  return head;
}

const seconds = (time: Date): Buffer => sized(UINT_32, 4, Math.floor(time.getTime() / 1000));

/** Encodes a time, Forward Protocol § EventTime Ext Format: seconds and nanoseconds, 32 bits each. */
function eventTime(time: Date): Buffer {
  const bytes = Buffer.alloc(10);
  bytes[0] = FIXEXT_8;
  bytes[1] = EVENT_TIME;
  bytes.writeUInt32BE(Math.floor(time.getTime() / 1000), 2);
  bytes.writeUInt32BE((time.getTime() % 1000) * 1_000_000, 6);
  return bytes;
}
