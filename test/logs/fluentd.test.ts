import test from 'ava';
import { fluentdEncoder, fluentdSettings } from '../../src/logs/fluentd.ts';
import { CONTAINER } from './folder.ts';
import { unpack } from './msgpack.ts';

const TIME = new Date(1_700_000_000_123);
const encode = (options: Record<string, string> = {}, extra: Record<string, string> = {}) =>
  fluentdEncoder(fluentdSettings(options), { container: CONTAINER, tag: 'the-tag', extra });

test('an entry is tag, time and record', (t) => {
  t.deepEqual(unpack(encode({}, { label: 'x' })(Buffer.from('hello'), 'stderr', TIME, false)), [
    'the-tag',
    1_700_000_000,
    { container_id: CONTAINER.id, container_name: `/${CONTAINER.name}`, label: 'x', source: 'stderr', log: 'hello' },
  ]);
});
test('a part of a line is marked', (t) =>
  t.like((unpack(encode()(Buffer.from('x'), 'stdout', TIME, true)) as [unknown, unknown, object])[2], {
    partial_message: 'true',
    log: 'x',
  }));
test('to the nanosecond', (t) =>
  t.deepEqual(
    (
      unpack(encode({ 'fluentd-sub-second-precision': 'true' })(Buffer.from('x'), 'stdout', TIME, false)) as unknown[]
    )[1],
    { seconds: 1_700_000_000, nanoseconds: 123_000_000 },
  ));
for (const length of [0, 31, 32, 255, 256, 65_535, 65_536])
  test(`a line of ${length} bytes`, (t) =>
    t.is(
      (unpack(encode()(Buffer.alloc(length, 0x61), 'stdout', TIME, false)) as [unknown, unknown, { log: string }])[2]
        .log.length,
      length,
    ));
test('more fields than a small map has', (t) =>
  t.is(
    Object.keys(
      (
        unpack(
          encode({}, Object.fromEntries(Array.from({ length: 40 }, (_, index) => [`k${index}`, 'v'])))(
            Buffer.from('x'),
            'stdout',
            TIME,
            false,
          ),
        ) as [unknown, unknown, object]
      )[2],
    ).length,
    44,
  ));

for (const [address, destination] of [
  ['', { kind: 'tcp', host: '127.0.0.1', port: 24_224 }],
  ['log.example', { kind: 'tcp', host: 'log.example', port: 24_224 }],
  ['log.example:9', { kind: 'tcp', host: 'log.example', port: 9 }],
  ['tcp://[::1]:9', { kind: 'tcp', host: '::1', port: 9 }],
  ['tls://log.example', { kind: 'tls', host: 'log.example', port: 24_224, skipVerify: false }],
  ['unix:///run/fluentd', { kind: 'unix', path: '/run/fluentd' }],
] as const)
  test(`fluentd-address=${address}`, (t) =>
    t.deepEqual(fluentdSettings({ 'fluentd-address': address }).destination, destination));
for (const options of [
  { 'fluentd-address': 'http://x' },
  { 'fluentd-address': 'tcp://x/y' },
  { 'fluentd-address': 'unix://' },
  { 'fluentd-async': 'maybe' },
  { 'fluentd-max-retries': 'x' },
  { 'fluentd-retry-wait': '1' },
  { 'fluentd-request-ack': 'true' },
] as Record<string, string>[])
  test(`refused: ${JSON.stringify(options)}`, (t) =>
    void t.throws(() => fluentdSettings(options), { name: 'HuskError' }));
