/** What bind mounts become in a VM: places in the jail, names in the guest, and what cannot be. */
import { execFileSync, spawn } from 'node:child_process';
import { chmodSync, mkdirSync, mkdtempSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { once } from 'node:events';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import type { Mount, Spec } from '../../src/spec.ts';
import { guestBinds, jailBinds, notShareable } from '../../src/vmm/binds.ts';

const spec = (mounts: Mount[]) => ({ mounts }) as Spec;
const bind = (source: string, ...options: string[]): Mount => ({
  type: 'bind',
  source,
  destination: '/x',
  options: ['rbind', ...options],
});

function folder(t: ExecutionContext): string {
  const path = mkdtempSync(join(tmpdir(), 'husk-binds-'));
  t.teardown(() => rmSync(path, { recursive: true }));
  mkdirSync(join(path, 'dir'));
  mkdirSync(join(path, 'container'));
  writeFileSync(join(path, 'file'), 'text');
  writeFileSync(join(path, 'container/hosts'), '127.0.0.1 localhost\n');
  symlinkSync('dir', join(path, 'link'));
  return path;
}

test("folders and files get numbered places, links are followed, read-only is the jail's", (t) => {
  const at = folder(t);
  const options = { directory: join(at, 'container') };
  const { spec: jailed, binds } = jailBinds(
    spec([
      bind(join(at, 'dir'), 'ro'),
      { type: 'proc', destination: '/proc' },
      bind(join(at, 'file')),
      bind(join(at, 'link')),
    ]),
    options,
  );
  t.deepEqual(binds, [
    { source: join(at, 'dir'), place: '/shares/0', kind: 'directory', readOnly: true },
    { source: join(at, 'file'), place: '/shares/1', kind: 'file', readOnly: false },
    { source: join(at, 'dir'), place: '/shares/2', kind: 'directory', readOnly: false },
  ]);
  t.deepEqual(
    jailed.mounts.map(({ source }) => source),
    ['/shares/0', undefined, '/shares/1', '/shares/2'],
  );
  const guest = guestBinds(jailed, options);
  t.deepEqual(
    guest.spec.mounts.map(({ source }) => source),
    ['/run/husk/shares/binds/0', undefined, '/run/husk/shares/binds/1', '/run/husk/shares/binds/2'],
  );
  t.true(guest.shares);
});

test("husk's own files travel as bytes; devices that every Linux has are the guest's own", (t) => {
  const at = folder(t);
  const options = { directory: join(at, 'container') };
  const { spec: jailed, binds } = jailBinds(
    spec([bind(join(at, 'container/hosts')), bind('/dev/null'), bind('/dev/urandom')]),
    options,
  );
  t.deepEqual(binds, []);
  const guest = guestBinds(jailed, options);
  t.deepEqual(
    guest.spec.mounts.map(({ source }) => source),
    ['/run/husk/files/file0', '/dev/null', '/dev/urandom'],
  );
  t.deepEqual(guest.files, [{ name: 'file0', content: Buffer.from('127.0.0.1 localhost\n').toString('base64') }]);
  t.false(guest.shares);
});

test('a great many are possible, and too many are refused', (t) => {
  const at = folder(t);
  const many = (count: number) =>
    jailBinds(spec(Array.from({ length: count }, () => bind(join(at, 'dir')))), { directory: at });
  t.is(many(256).binds.length, 256);
  t.throws(() => many(257), { message: /256 bind mounts are possible/ });
});

test("what leads to the host's kernel or is gone is refused by name", (t) => {
  const at = folder(t);
  execFileSync('mkfifo', [join(at, 'pipe')]);
  const refused = (source: string) => t.throws(() => jailBinds(spec([bind(source)]), { directory: at }))?.message;
  t.is(
    refused(join(at, 'pipe')),
    `cannot share ${at}/pipe with a virtual machine: a pipe leads to this host's kernel, and a virtual machine has its own`,
  );
  t.regex(refused('/dev/fuse')!, /a device leads to/);
  t.is(refused(join(at, 'gone')), `cannot share ${at}/gone with a virtual machine: it is not there`);
});

async function listening(t: ExecutionContext, path: string): Promise<void> {
  const server = createServer().listen(path);
  await once(server, 'listening');
  t.teardown(() => server.close());
}

test('sockets are numbered, each once, and are not in the jail', async (t) => {
  const at = folder(t);
  const options = { directory: join(at, 'container') };
  for (const name of ['one', 'two']) await listening(t, join(at, name));
  chmodSync(join(at, 'one'), 0o640);
  symlinkSync('one', join(at, 'link-to-one'));
  const mounts = [
    bind(join(at, 'two'), 'ro'),
    bind(join(at, 'dir')),
    bind(join(at, 'one')),
    bind(join(at, 'link-to-one')),
  ];
  const { spec: jailed, binds, sockets } = jailBinds(spec(mounts), options);
  t.deepEqual(
    binds.map(({ source }) => source),
    [join(at, 'dir')],
  );
  const owner = { uid: process.getuid!(), gid: process.getgid!() };
  t.deepEqual(sockets, [
    { path: join(at, 'two'), ...owner, mode: statSync(join(at, 'two')).mode & 0o777 },
    { path: join(at, 'one'), ...owner, mode: 0o640 },
  ]);
  const guest = guestBinds(jailed, options);
  t.deepEqual(
    guest.spec.mounts.map(({ source }) => source),
    ['/run/husk/sockets/0', '/run/husk/shares/binds/0', '/run/husk/sockets/1', '/run/husk/sockets/1'],
  );
});

test('a socket of datagrams cannot be shared, one that nobody listens on can', async (t) => {
  const at = folder(t);
  await listening(t, join(at, 'streams'));
  // of each there is what the process leaves
  const left = `import socket, sys
socket.socket(socket.AF_UNIX, socket.SOCK_STREAM).bind(sys.argv[1] + '/left')
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM); s.bind(sys.argv[1] + '/log'); print('up', flush=True)
sys.stdin.read()`;
  const log = spawn('python3', ['-c', left, at], { stdio: ['pipe', 'pipe', 'inherit'] });
  t.teardown(() => log.kill('SIGKILL'));
  await once(log.stdout, 'data');
  t.is(notShareable(join(at, 'log')), 'it is a socket of datagrams, and only streams go into a virtual machine');
  for (const name of ['left', 'streams']) t.is(notShareable(join(at, name)), undefined);
  t.throws(() => jailBinds(spec([bind(join(at, 'log'))]), { directory: at }), { message: /socket of datagrams/ });
});

test('too many sockets are refused', async (t) => {
  const at = folder(t);
  const names = Array.from({ length: 65 }, (_, index) => join(at, `s${index}`));
  for (const name of names) await listening(t, name);
  const shared = (count: number) => jailBinds(spec(names.slice(0, count).map((name) => bind(name))), { directory: at });
  t.is(shared(64).sockets.length, 64);
  t.throws(() => shared(65), { message: /64 sockets are possible/ });
});
