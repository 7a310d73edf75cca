/** What bind mounts become in a VM: places in the jail, names in the guest, and what cannot be. */
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { once } from 'node:events';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import type { Mount, Spec } from '../../src/spec.ts';
import { guestBinds, jailBinds } from '../../src/vmm/binds.ts';

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

test("what leads to the host's kernel or is gone is refused by name", async (t) => {
  const at = folder(t);
  execFileSync('mkfifo', [join(at, 'pipe')]);
  const server = createServer().listen(join(at, 'socket'));
  await once(server, 'listening');
  t.teardown(() => server.close());
  const refused = (source: string) => t.throws(() => jailBinds(spec([bind(source)]), { directory: at }))?.message;
  t.is(
    refused(join(at, 'pipe')),
    `cannot share ${at}/pipe with a virtual machine: a pipe leads to this host's kernel, and a virtual machine has its own`,
  );
  t.regex(refused(join(at, 'socket'))!, /a socket leads to/);
  t.regex(refused('/dev/fuse')!, /a device leads to/);
  t.is(refused(join(at, 'gone')), `cannot share ${at}/gone with a virtual machine: it is not there`);
});
