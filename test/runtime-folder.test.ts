/**
 * The folder of the supervisors' sockets: which one is taken, which is refused, and how a socket in a deep one is
 * reached.
 */
import { once } from 'node:events';
import { spawn } from 'node:child_process';
import { chmodSync, chownSync, existsSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { paths } from '../src/paths.ts';
import { checkRuntimeFolder, isHeldInPlace, makeRuntimeFolder, nameSocket } from '../src/runtime-folder.ts';
import { SupervisorClient } from '../src/supervisor/client.ts';

const isRoot = process.getuid!() === 0;
const asRoot = isRoot ? test : test.skip; // only root can make a folder that is another user's
const STRANGER = 65534;

function folder(t: ExecutionContext): string {
  const made = mkdtempSync(join(tmpdir(), 'husk-runtime-'));
  t.teardown(() => rmSync(made, { recursive: true, force: true }));
  return made;
}

test('one that is missing is made, for its owner alone', (t) => {
  const path = join(folder(t), 'husk');
  makeRuntimeFolder(path);
  t.notThrows(() => checkRuntimeFolder(path));
});

for (const [what, make, says] of [
  ['a file', (path: string) => writeFileSync(path, ''), /it is not a folder$/],
  ["a link to a folder of one's own", (path: string) => symlinkSync(tmpdir(), path), /it is not a folder$/],
  ['open to others', (path: string) => (mkdirSync(path), chmodSync(path, 0o777)), /others may use it \(mode 777\)$/],
  ['open to the group', (path: string) => (mkdirSync(path), chmodSync(path, 0o750)), /others may use it \(mode 750\)$/],
] as const)
  test(`refused: ${what}`, (t) => {
    const path = join(folder(t), 'husk');
    make(path);
    const error = t.throws(() => checkRuntimeFolder(path), { message: says });
    t.truthy((error as { fix?: string }).fix);
  });

asRoot("refused: another user's, made beforehand", async (t) => {
  const path = join(folder(t), 'husk');
  mkdirSync(path, { mode: 0o700 });
  chownSync(path, STRANGER, STRANGER);
  t.throws(() => makeRuntimeFolder(path), { message: /it belongs to uid 65534, not to you \(0\)$/ });
  await t.throwsAsync(SupervisorClient.connect({ socket: join(path, '0123456789abcdef.sock') }), {
    message: /cannot use the runtime folder/,
  });
});

asRoot('what another user listens on is told nothing', async (t) => {
  const above = folder(t);
  chmodSync(above, 0o777);
  const path = join(above, 'husk');
  mkdirSync(path, { mode: 0o700 });
  t.false(isHeldInPlace(path), 'whoever may write above it can exchange it');
  const socket = join(path, '0123456789abcdef.sock');
  const program = `process.setuid(${STRANGER}); require('node:net').createServer((c) => c.on('data', () => console.log('told'))).listen(3 in process.argv ? 0 : { fd: 3 }, () => console.log('listens'))`;
  // bound by root, listened on by the stranger: what the kernel says of the listener counts
  const server = createServer().listen(socket);
  await once(server, 'listening');
  const child = spawn(process.execPath, ['-e', program], {
    stdio: ['ignore', 'pipe', 'ignore', (server as unknown as { _handle: { fd: number } })._handle.fd],
  });
  t.teardown(() => {
    child.kill('SIGKILL');
    server.close();
  });
  const [said] = (await once(child.stdout!, 'data')) as [Buffer];
  t.is(String(said), 'listens\n');
  await t.throwsAsync(SupervisorClient.connect({ socket, key: 'k' }), { message: /uid 65534 listens there, not you$/ });
});

for (const length of [20, 107, 108, 250])
  test(`a socket whose path has ${length} bytes and more is listened on and connected to`, async (t) => {
    let deep = folder(t);
    while (deep.length + '/s.sock'.length < length)
      mkdirSync(
        (deep = join(deep, 'd'.repeat(Math.min(60, Math.max(1, length - deep.length - '/s.sock'.length - 1))))),
      );
    const path = join(deep, 's.sock');
    t.true(path.length >= length);
    const server = createServer((socket) => socket.end('here'));
    const listening = nameSocket(path, (name) => server.listen(name));
    await once(server, 'listening');
    t.true(existsSync(path));
    const client = nameSocket(path, (name) => connect(name));
    const [answer] = (await once(client.used, 'data')) as [Buffer];
    t.is(String(answer), 'here');
    server.close();
    listening.release();
    client.release();
  });

const uid = process.getuid!();
for (const [what, env, expected] of [
  ['XDG_RUNTIME_DIR', { XDG_RUNTIME_DIR: '/somewhere' }, '/somewhere/husk'],
  ['a relative XDG_RUNTIME_DIR, which counts as none', { XDG_RUNTIME_DIR: 'run' }, isRoot ? '/run/husk' : undefined],
] as const)
  test(`which one is taken: ${what}`, (t) => {
    const { runtimeDir } = paths({ dataRoot: '/d', env });
    if (expected !== undefined) t.is(runtimeDir, expected);
    else t.true([`/run/user/${uid}/husk`, '/d/run'].includes(runtimeDir));
  });

test('which one is taken: without any, one in the data root, never a name in /tmp', (t) => {
  // nobody has this uid, so no folder of it is there
  t.is(paths({ dataRoot: '/d', env: {}, uid: 3_999_999_999 }).runtimeDir, '/d/run');
});

asRoot("which one is taken: not another user's XDG_RUNTIME_DIR (sudo -E)", (t) => {
  const theirs = folder(t);
  chownSync(theirs, STRANGER, STRANGER);
  t.is(paths({ dataRoot: '/d', env: { XDG_RUNTIME_DIR: theirs } }).runtimeDir, '/run/husk');
});

test('relative XDG folders count as none', (t) => {
  const { dataRoot, configFile } = paths({ env: { XDG_DATA_HOME: 'data', XDG_CONFIG_HOME: 'config' } });
  t.regex(dataRoot, /^\//);
  t.regex(configFile, /^\//);
  t.false([dataRoot, configFile].some((path) => path.startsWith(process.cwd())));
});
