/** Who owns what in a shared folder, as the guest and as the host have it. */
import { chmodSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { OP, ProtocolError } from '../../../src/vmm/devices/fs/fuse.ts';
import { Server } from '../../../src/vmm/devices/fs/server.ts';
import { mappedOwners, rootIsOwner, sameOwners, UNCHANGED, type Ownership } from '../../../src/vmm/devices/fs/attributes.ts';

/** root's range, and another after it */
const RANGES = [
  { containerID: 0, hostID: 1_000_000_000, size: 65_536 },
  { containerID: 65_536, hostID: 5000, size: 10 },
];
const mapped = mappedOwners({ uid: RANGES, gid: RANGES });

for (const [title, owners, host, guest] of [
  ['container root', mapped, [1_000_000_000, 1_000_000_000], [0, 0]],
  ['a user of the image', mapped, [1_000_000_070, 1_000_000_033], [70, 33]],
  ['the second range', mapped, [5009, 5000], [65_545, 65_536]],
  ['the same ids', sameOwners, [70, 33], [70, 33]],
  ['the VMM\'s own user', rootIsOwner(1000, 100), [1000, 100], [0, 0]],
] as const) {
  test(`${title}: as the guest sees it`, (t) => t.deepEqual(owners.toGuest(...(host as [number, number])), [...guest]));
  test(`${title}: as the host does`, (t) => t.deepEqual(owners.toHost(...(guest as [number, number])), [...host]));
}
for (const id of [0, 1000, 999_999_999, 1_000_065_536, 4999, 5010]) test(`host id ${id} is in no range: nobody`, (t) => t.deepEqual(mapped.toGuest(id, id), [65_534, 65_534]));
for (const id of [65_546, 1_000_000_000, UNCHANGED - 1]) test(`guest id ${id} is in no range: refused`, (t) => t.is(mapped.toHost(id, 0), undefined));
test('an id that is to stay stays', (t) => t.deepEqual(mapped.toHost(UNCHANGED, 5), [UNCHANGED, 1_000_000_005]));

const ROOT = 1;
const [EPERM, ENOENT, EACCES, EOVERFLOW] = [1, 2, 13, 75];
const O_WRONLY = 1;
/** struct fuse_setattr_in with one field: FATTR_MODE */
const MODE = 1;

/** The server of a folder with a file of mode 0644 and one of mode 0666, and a folder that anybody may write. @returns what asks it: an errno, 0 for an answer */
function serve(t: ExecutionContext, ownership: Ownership) {
  const folder = mkdtempSync(join(tmpdir(), 'husk-owners-'));
  chmodSync(folder, 0o755);
  for (const [name, mode] of [['closed', 0o644], ['open', 0o666]] as const) {
    writeFileSync(join(folder, name), 'contents');
    chmodSync(join(folder, name), mode);
  }
  mkdirSync(join(folder, 'common'));
  chmodSync(join(folder, 'common'), 0o777);
  const server = new Server({ path: folder, readOnly: false, ownership, freshness: { milliseconds: 0 } });
  t.teardown(() => {
    server[Symbol.dispose]();
    rmSync(folder, { recursive: true, force: true });
  });
  const handle = (opcode: number, node: number, body: Uint8Array) => server.handle({ opcode, node, body, uid: 70_000, gid: 70_000, unique: new Uint8Array(8), length: 40 + body.length } as Parameters<Server['handle']>[0], 4096) as Uint8Array;
  const ask = (opcode: number, node: number, body: Uint8Array): number => {
    try {
      handle(opcode, node, body);
      return 0;
    } catch (error) {
      return (error as { errno: number }).errno;
    }
  };
  const lookup = (name: string) => Number(Buffer.from(handle(OP.LOOKUP, ROOT, Buffer.from(`${name}\0`))).readBigUInt64LE(0));
  return { folder, ask, lookup };
}

const u32 = (...values: number[]) => Buffer.from(Uint32Array.from(values).buffer);
const named = (name: string, ...values: number[]) => Buffer.concat([u32(...values), Buffer.from(`${name}\0`)]);
const MAKERS: [what: string, opcode: number, body: Buffer][] = [
  ['create', OP.CREATE, named('new', 0o101, 0o4755, 0, 0)],
  ['mkdir', OP.MKDIR, named('new', 0o755, 0)],
  ['mknod', OP.MKNOD, named('new', 0o100644, 0, 0, 0)],
  ['symlink', OP.SYMLINK, Buffer.from('new\0target\0')],
];

/** a VMM that is host root, of whose files none belongs to a container */
const nobodys: Ownership = { toGuest: () => [65_534, 65_534], toHost: (uid, gid) => [uid, gid], holds: () => false };
test('host root\'s files are not the guest\'s root\'s to change, but for what anybody may write', (t) => {
  const { ask, lookup, folder } = serve(t, nobodys);
  const [closed, open, common] = [lookup('closed'), lookup('open'), lookup('common')];
  const chmod = Buffer.alloc(88);
  chmod.writeUInt32LE(MODE, 0);
  chmod.writeUInt32LE(0o4777, 68);
  for (const node of [closed, open, common]) t.is(ask(OP.SETATTR, node, chmod), EPERM);
  t.is(ask(OP.OPEN, closed, u32(O_WRONLY, 0)), EACCES);
  t.is(ask(OP.OPEN, closed, u32(0, 0)), 0, 'reading is the host kernel\'s to allow');
  t.is(ask(OP.OPEN, open, u32(O_WRONLY, 0)), 0);
  t.is(ask(OP.SETXATTR, open, Buffer.concat([u32(1, 0), Buffer.from('user.x\0y')])), EPERM);
  t.is(ask(OP.REMOVEXATTR, open, Buffer.from('user.x\0')), EPERM);
  for (const [what, opcode, body] of MAKERS) t.is(ask(opcode, ROOT, body), EACCES, what);
  t.is(ask(OP.UNLINK, ROOT, Buffer.from('closed\0')), EACCES);
  t.is(ask(OP.RENAME, ROOT, Buffer.concat([u32(common, 0), Buffer.from('closed\0here\0')])), EACCES);
  t.is(ask(OP.LINK, common, Buffer.concat([u32(closed, 0), Buffer.from('here\0')])), EPERM);
  t.deepEqual(readdirSync(folder).sort(), ['closed', 'common', 'open']);
  t.deepEqual(readdirSync(join(folder, 'common')), []);
});

test('where everybody may take away only what is theirs, host root\'s stays', (t) => {
  const { ask, lookup, folder } = serve(t, nobodys);
  const common = lookup('common');
  writeFileSync(join(folder, 'common/roots'), '');
  writeFileSync(join(folder, 'common/other'), '');
  chmodSync(join(folder, 'common'), 0o1777);
  t.is(ask(OP.UNLINK, common, Buffer.from('roots\0')), EPERM);
  t.is(ask(OP.RENAME, common, Buffer.concat([u32(common, 0), Buffer.from('roots\0mine\0')])), EPERM);
  t.is(ask(OP.UNLINK, common, Buffer.from('absent\0')), ENOENT);
  t.deepEqual(readdirSync(join(folder, 'common')).sort(), ['other', 'roots']);
});

const strangers: [title: string, ownership: Ownership][] = [
  ['an id that root gives to no container', { toGuest: (uid, gid) => [uid, gid], toHost: () => undefined, holds: () => true }],
  // what chown(2) says of it is not the same for every user that may run this
  ['an id that this process cannot give', { toGuest: (uid, gid) => [uid, gid], toHost: () => { throw new ProtocolError(EOVERFLOW); } }],
];
for (const [title, ownership] of strangers)
  for (const [what, opcode, body] of MAKERS)
    test(`${what} for ${title} is refused, and leaves nothing`, (t) => {
      const { ask, folder } = serve(t, ownership);
      t.is(ask(opcode, ROOT, body), EOVERFLOW);
      t.deepEqual(readdirSync(folder).sort(), ['closed', 'common', 'open']);
    });
