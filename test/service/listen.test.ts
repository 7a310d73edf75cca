/** Addresses, sockets that are there already, and those that systemd hands over. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readlinkSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import { inheritedAddresses, isServed, linkForTools, listen, parseAddress } from '../../src/service/listen.ts';

const PARSED: [text: string, tls: boolean, expected: object][] = [
  ['unix:///run/x.sock', true, { kind: 'unix', path: '/run/x.sock' }],
  ['tcp://127.0.0.1:5', true, { kind: 'tcp', host: '127.0.0.1', port: 5 }],
  ['tcp://127.0.0.1', true, { kind: 'tcp', host: '127.0.0.1', port: 2376 }],
  ['tcp://localhost', false, { kind: 'tcp', host: '127.0.0.1', port: 2375 }],
  ['tcp://[::1]:0', true, { kind: 'tcp', host: '::1', port: 0 }],
];
for (const [text, tls, expected] of PARSED)
  test(`address ${text}`, (t) => t.deepEqual(parseAddress(text, tls), expected as never));

for (const text of [
  '',
  '/x',
  'unix://x',
  'unix://',
  'unix:///a\0b',
  'tcp://',
  'tcp://name:1',
  'tcp://127.0.0.1:99999',
  'fd://',
  'npipe:////./x',
  'http://127.0.0.1',
])
  test(`no address: ${JSON.stringify(text)}`, (t) =>
    void t.throws(() => parseAddress(text, true), { name: 'HuskError' }));

const ACTIVATED: [env: NodeJS.ProcessEnv, fds: number[]][] = [
  [{ LISTEN_PID: '7', LISTEN_FDS: '2', LISTEN_FDNAMES: 'a:b' }, [3, 4]],
  [{ LISTEN_PID: '8', LISTEN_FDS: '1' }, []],
  [{ LISTEN_FDS: '1' }, []],
  [{ LISTEN_PID: '7', LISTEN_FDS: '99' }, []],
  [{ LISTEN_PID: '7', LISTEN_FDS: '-1' }, []],
  [{}, []],
];
for (const [env, fds] of ACTIVATED)
  test(`activation: ${JSON.stringify(env)}`, (t) => {
    t.deepEqual(
      inheritedAddresses(env, 7),
      fds.map((fd) => ({ kind: 'fd', fd })),
    );
    // what this process starts is not the one that was meant
    t.deepEqual(env, {});
  });

function folder(t: { teardown(end: () => void): void }): string {
  const path = mkdtempSync(join(tmpdir(), 'husk-listen-'));
  t.teardown(() => rmSync(path, { recursive: true, force: true }));
  return path;
}

/** A socket file whose server was killed. */
async function stale(path: string): Promise<void> {
  const script = `require('net').createServer().listen(${JSON.stringify(path)}, () => process.kill(process.pid, 'SIGKILL'))`;
  await once(spawn(process.execPath, ['-e', script], { stdio: 'ignore' }), 'exit');
}

test('a socket is of mode 0600 in a folder of mode 0700, and goes with its server', async (t) => {
  const path = join(folder(t), 'new/s');
  const server = createServer();
  const { url, release } = await listen(server, { kind: 'unix', path });
  t.is(url, `unix://${path}`);
  t.is(statSync(path).mode & 0o777, 0o600);
  t.is(statSync(join(path, '..')).mode & 0o777, 0o700);
  t.true(await isServed(path));
  await new Promise((resolve) => server.close(resolve));
  release();
  t.false(existsSync(path));
  t.false(await isServed(path));
});

test('a stale socket is replaced', async (t) => {
  const path = join(folder(t), 's');
  await stale(path);
  t.true(existsSync(path));
  t.false(await isServed(path));
  const server = createServer();
  await listen(server, { kind: 'unix', path });
  t.true(await isServed(path));
  server.close();
});

test('a socket that somebody serves is left alone', async (t) => {
  const path = join(folder(t), 's');
  const first = createServer();
  await listen(first, { kind: 'unix', path });
  const { ino } = statSync(path);
  const error = await t.throwsAsync(listen(createServer(), { kind: 'unix', path }), {
    name: 'HuskError',
    message: /somebody serves there already$/,
  });
  t.is((error as { kind?: string }).kind, 'conflict');
  t.is(statSync(path).ino, ino);
  t.true(await isServed(path));
  first.close();
});

test('of several servers that find a stale socket at once, one has it and is reached', async (t) => {
  const path = join(folder(t), 's');
  await stale(path);
  const servers = Array.from({ length: 8 }, () => createServer((socket) => socket.on('error', () => {}).end('served')));
  const outcomes = await Promise.allSettled(servers.map((server) => listen(server, { kind: 'unix', path })));
  const listening = servers.filter((server) => server.listening);
  t.is(listening.length, 1);
  t.is(outcomes.filter(({ status }) => status === 'fulfilled').length, 1);
  t.true(await isServed(path));
  for (const server of listening) server.close();
});

test('what is no socket is left alone', async (t) => {
  const path = join(folder(t), 's');
  writeFileSync(path, 'mine');
  await t.throwsAsync(listen(createServer(), { kind: 'unix', path }), { message: /something else than a socket/ });
  rmSync(path);
  mkdirSync(path);
  await t.throwsAsync(listen(createServer(), { kind: 'unix', path }), { message: /something else than a socket/ });
});

test('a path that no socket address holds', (t) =>
  t.throwsAsync(listen(createServer(), { kind: 'unix', path: `/tmp/${'x'.repeat(103)}` }), {
    message: /longer than 107/,
  }));

test('the link for tools: made where nothing is, replaced when ours, else left', (t) => {
  const runtime = folder(t);
  const socket = join(runtime, 'husk/docker.sock');
  const link = join(runtime, 'docker.sock');
  const env = { XDG_RUNTIME_DIR: runtime };
  const remove = linkForTools(env, socket);
  t.is(readlinkSync(link), socket);
  // as after a kill: the link is there, and is taken over
  linkForTools(env, socket);
  t.is(readlinkSync(link), socket);
  remove();
  t.false(existsSync(link));
  symlinkSync('/run/docker.sock', link);
  linkForTools(env, socket)();
  t.is(readlinkSync(link), '/run/docker.sock');
  rmSync(link);
  linkForTools({}, socket)();
  linkForTools({ XDG_RUNTIME_DIR: '/elsewhere' }, socket)();
  t.throws(() => readlinkSync(link));
});
