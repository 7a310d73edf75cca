import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'ava';
import { syslogEncoder, syslogSettings } from '../../src/logs/syslog.ts';
import { folder } from './folder.ts';

const TIME = new Date(2026, 0, 2, 3, 4, 5, 678);
const zone = TIME.toString().match(/GMT([+-]\d\d)(\d\d)/)!;
const Z = `${zone[1]}${zone[2]}` === '+0000' ? 'Z' : `${zone[1]}:${zone[2]}`;

for (const [title, options, stream, message] of [
  ["Docker's own form", {}, 'stdout', '<30>Jan  2 03:04:05 tag[7]: hello\n'],
  [
    'RFC 3164, an error',
    { 'syslog-format': 'rfc3164', 'syslog-facility': 'local3' },
    'stderr',
    '<155>Jan  2 03:04:05 box tag[7]: hello\n',
  ],
  [
    'RFC 5424',
    { 'syslog-format': 'rfc5424', 'syslog-facility': '0' },
    'stdout',
    `<6>1 2026-01-02T03:04:05${Z} box tag 7 tag - hello\n`,
  ],
  [
    'RFC 5424 to the microsecond',
    { 'syslog-format': 'rfc5424micro', 'syslog-facility': 'kern' },
    'stderr',
    `<3>1 2026-01-02T03:04:05.678000${Z} box tag 7 tag - hello\n`,
  ],
] as const)
  test(title, (t) =>
    t.is(
      syslogEncoder(syslogSettings({ 'syslog-address': 'udp://h', ...options }), 'tag', { name: 'box', pid: 7 })(
        Buffer.from('hello'),
        stream,
        TIME,
      ).toString(),
      message,
    ),
  );

test('over TLS a message of RFC 5424 has its length in front', (t) => {
  const settings = syslogSettings({ 'syslog-address': 'tcp+tls://h', 'syslog-format': 'rfc5424' });
  const message = syslogEncoder(settings, 'tag', { name: 'box', pid: 7 })(
    Buffer.from('hello'),
    'stdout',
    TIME,
  ).toString();
  const [, length, rest] = /^(\d+) (.*)$/s.exec(message)!;
  t.is(Number(length), rest!.length);
});

for (const [address, destination] of [
  ['udp://127.0.0.1', { kind: 'udp', host: '127.0.0.1', port: 514 }],
  ['tcp://log.example:601', { kind: 'tcp', host: 'log.example', port: 601 }],
  ['tcp://[::1]:601', { kind: 'tcp', host: '::1', port: 601 }],
] as const)
  test(`syslog-address=${address}`, (t) =>
    t.deepEqual(syslogSettings({ 'syslog-address': address }).destination, destination));
test('a unix socket', (t) => {
  const path = join(folder(t), 'log');
  writeFileSync(path, '');
  t.deepEqual(syslogSettings({ 'syslog-address': `unixgram://${path}` }).destination, { kind: 'unixgram', path });
});

for (const [options, message] of [
  [{ 'syslog-address': '127.0.0.1:514' }, /^syslog-address should be in form proto:\/\/address, got 127/],
  [{ 'syslog-address': 'http://x' }, /^syslog-address should be in form/],
  [{ 'syslog-address': 'unix:///no/such' }, /^stat \/no\/such: no such file or directory$/],
  [{ 'syslog-address': 'udp://a:99999' }, /^invalid syslog-address "a:99999"$/],
  [{ 'syslog-address': 'udp://a/b' }, /^invalid syslog-address/],
  [{ 'syslog-facility': 'local8' }, /^invalid syslog facility$/],
  [{ 'syslog-facility': '24' }, /^invalid syslog facility$/],
  [{ 'syslog-format': 'gelf' }, /^Invalid syslog format$/],
] as const)
  test(`refused: ${JSON.stringify(options)}`, (t) =>
    void t.throws(() => syslogSettings(options as Record<string, string>), { message }));
