/** What `doctor` tells of servers that listen on TCP: by their records, and of none that is gone or that lies. */
import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { apiListeners } from '../../../src/engine/look/doctor.ts';
import { recordTcpListeners, tcpListeners } from '../../../src/engine/look/tcp-listeners.ts';
import { identifySelf } from '../../../src/state/process-identity.ts';

function runtimeFolder(t: ExecutionContext): string {
  const folder = mkdtempSync(join(tmpdir(), 'husk-listeners-'));
  t.teardown(() => rmSync(folder, { recursive: true }));
  return folder;
}

const PLAIN = { url: 'tcp://127.0.0.1:2375', tls: false };
const TLS = { url: 'tcp://[::1]:2376', tls: true };

test('a server is told while it lives, and no more when it has taken its record back', (t) => {
  const runtimeDir = runtimeFolder(t);
  t.deepEqual(apiListeners({ runtimeDir }), []);
  const forget = recordTcpListeners(runtimeDir, [PLAIN, TLS]);
  t.deepEqual(apiListeners({ runtimeDir }), [
    {
      name: 'api over tcp',
      status: 'warn',
      value:
        `whoever reaches it is you: tcp://127.0.0.1:2375, without TLS (pid ${process.pid})\n` +
        `tcp://[::1]:2376, for clients with a certificate (pid ${process.pid})`,
      fix: 'end it where a unix socket does (husk serve), or serve with --tlsverify',
    },
  ]);
  forget();
  t.deepEqual(apiListeners({ runtimeDir }), []);
});

test('for clients with a certificate alone there is nothing to mend', (t) => {
  const runtimeDir = runtimeFolder(t);
  recordTcpListeners(runtimeDir, [TLS]);
  const [{ status, fix }] = apiListeners({ runtimeDir }) as [ReturnType<typeof apiListeners>[number]];
  t.deepEqual([status, fix], ['ok', undefined]);
});

test('no folder, no server', (t) => t.deepEqual(tcpListeners('/nonexistent/husk'), []));

const SELF = identifySelf();
const STALE: [what: string, identity: object][] = [
  ['another start of that pid', { ...SELF, startTime: '1' }],
  ['another boot', { ...SELF, bootId: 'x' }],
  ['a pid that nobody has', { ...SELF, pid: 2 ** 22 + 1 }],
];
for (const [what, identity] of STALE)
  test(`a stale record is not told, and goes with the next server: ${what}`, (t) => {
    const runtimeDir = runtimeFolder(t);
    writeFileSync(join(runtimeDir, 'serve-1.json'), JSON.stringify({ identity, listeners: [PLAIN] }));
    t.deepEqual(tcpListeners(runtimeDir), []);
    recordTcpListeners(runtimeDir, [TLS]);
    t.deepEqual(readdirSync(runtimeDir), [`serve-${process.pid}.json`]);
  });

const record = (listeners: unknown, identity: unknown = SELF): string => JSON.stringify({ identity, listeners });
const HOSTILE: [what: string, make: (file: string) => void][] = [
  ['no JSON', (file) => writeFileSync(file, '{')],
  ['null', (file) => writeFileSync(file, 'null')],
  ['no server', (file) => writeFileSync(file, record([PLAIN], null))],
  ['a pid that is text', (file) => writeFileSync(file, record([PLAIN], { ...SELF, pid: '../self' }))],
  ['no list', (file) => writeFileSync(file, record({ length: 3 }))],
  ['members that are none', (file) => writeFileSync(file, record([null, 1, {}]))],
  [
    'an address that could steer a terminal',
    (file) => writeFileSync(file, record([{ ...PLAIN, url: 'tcp://\x1b[2J' }])),
  ],
  ['more than a record has', (file) => writeFileSync(file, record(Array.from({ length: 10_000 }, () => PLAIN)))],
  ['a pipe', (file) => void spawnSync('mkfifo', [file])],
  ['a folder', (file) => mkdirSync(file)],
  ['a link', (file) => symlinkSync('other', file)],
];
for (const [what, make] of HOSTILE)
  test(`what is no record tells nothing, and holds no server up: ${what}`, (t) => {
    const runtimeDir = runtimeFolder(t);
    writeFileSync(join(runtimeDir, 'other'), record([PLAIN]));
    make(join(runtimeDir, 'serve-7.json'));
    t.deepEqual(tcpListeners(runtimeDir), []);
    recordTcpListeners(runtimeDir, [TLS]);
    t.deepEqual(tcpListeners(runtimeDir), [{ ...TLS, pid: process.pid }]);
  });
