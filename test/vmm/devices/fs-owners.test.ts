/** Who owns what in a shared folder, as the guest and as the host have it. */
import { chmodSync, mkdirSync, mkdtempSync, readdirSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { removeFolder } from '../../fixtures/temporary.ts';
import { Access } from '../../../src/vmm/devices/fs/share/access.ts';
import { OP, ProtocolError } from '../../../src/vmm/devices/fs/share/fuse.ts';
import { Server } from '../../../src/vmm/devices/fs/server.ts';
import {
  mappedOwners,
  rootIsOwner,
  sameOwners,
  UNCHANGED,
  type Ownership,
} from '../../../src/vmm/devices/fs/share/attributes.ts';

/** root's range, and another after it */
const RANGES = [
  { containerID: 0, hostID: 1_000_000_000, size: 65_536 },
  { containerID: 65_536, hostID: 5000, size: 10 },
];
const mapped = mappedOwners({ uid: RANGES, gid: RANGES });

/** ids 0 and `id` change places */
const exchanged = (id: number) => [
  { containerID: 0, hostID: id, size: 1 },
  { containerID: 1, hostID: 1, size: id - 1 },
  { containerID: id, hostID: 0, size: 1 },
  { containerID: id + 1, hostID: id + 1, size: 60_000 },
];
const kept = mappedOwners({ uid: exchanged(1000), gid: exchanged(100) });

for (const [title, owners, host, guest] of [
  ['container root', mapped, [1_000_000_000, 1_000_000_000], [0, 0]],
  ['a user of the image', mapped, [1_000_000_070, 1_000_000_033], [70, 33]],
  ['the second range', mapped, [5009, 5000], [65_545, 65_536]],
  ['the same ids', sameOwners, [70, 33], [70, 33]],
  ["keep-id: the caller, who is root of the VMM's namespace", kept, [0, 0], [1000, 100]],
  ['keep-id: root', kept, [1000, 100], [0, 0]],
  ['keep-id: anybody else', kept, [70, 33], [70, 33]],
  ["the VMM's own user", rootIsOwner(1000, 100), [1000, 100], [0, 0]],
] as const) {
  test(`${title}: as the guest sees it`, (t) => t.deepEqual(owners.toGuest(...(host as [number, number])), [...guest]));
  test(`${title}: as the host does`, (t) => t.deepEqual(owners.toHost(...(guest as [number, number])), [...host]));
}
for (const id of [0, 1000, 999_999_999, 1_000_065_536, 4999, 5010])
  test(`host id ${id} is in no range: nobody`, (t) => t.deepEqual(mapped.toGuest(id, id), [65_534, 65_534]));
for (const id of [65_546, 1_000_000_000, UNCHANGED - 1])
  test(`guest id ${id} is in no range: refused`, (t) => t.is(mapped.toHost(id, 0), undefined));
test('an id that is to stay stays', (t) => t.deepEqual(mapped.toHost(UNCHANGED, 5), [UNCHANGED, 1_000_000_005]));

const ROOT = 1;
const [EPERM, ENOENT, EACCES, ENODATA, EOVERFLOW, EOPNOTSUPP] = [1, 2, 13, 61, 75, 95];
const O_WRONLY = 1;
/** struct fuse_setattr_in with one field: FATTR_MODE */
const MODE = 1;

/**
 * The server of a folder with a file of mode 0644 and one of mode 0666, and a folder that anybody may write. @returns
 * what asks it: an errno, 0 for an answer
 */
function serve(t: ExecutionContext, ownership: Ownership) {
  const folder = mkdtempSync(join(tmpdir(), 'husk-owners-'));
  chmodSync(folder, 0o755);
  for (const [name, mode] of [
    ['closed', 0o644],
    ['open', 0o666],
  ] as const) {
    writeFileSync(join(folder, name), 'contents');
    chmodSync(join(folder, name), mode);
  }
  mkdirSync(join(folder, 'common'));
  chmodSync(join(folder, 'common'), 0o777);
  const server = new Server({ path: folder, readOnly: false, ownership });
  t.teardown(() => {
    server[Symbol.dispose]();
    removeFolder(folder);
  });
  const handle = (opcode: number, node: number, body: Uint8Array) =>
    server.handle(
      {
        opcode,
        node,
        body,
        uid: 70_000,
        gid: 70_000,
        unique: new Uint8Array(8),
        length: 40 + body.length,
      } as Parameters<Server['handle']>[0],
      4096,
    ) as Uint8Array;
  const ask = (opcode: number, node: number, body: Uint8Array): number => {
    try {
      handle(opcode, node, body);
      return 0;
    } catch (error) {
      return (error as { errno: number }).errno;
    }
  };
  const lookup = (name: string) =>
    Number(Buffer.from(handle(OP.LOOKUP, ROOT, Buffer.from(`${name}\0`))).readBigUInt64LE(0));
  return { folder, ask, handle, lookup };
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
const nobodys: Ownership = {
  toGuest: () => [65_534, 65_534],
  toHost: (uid, gid) => [uid, gid],
  holds: { user: () => false, group: () => false },
};
test("host root's files are not the guest's root's to change, but for what anybody may write", (t) => {
  const { ask, lookup, folder } = serve(t, nobodys);
  const [closed, open, common] = [lookup('closed'), lookup('open'), lookup('common')];
  const chmod = Buffer.alloc(88);
  chmod.writeUInt32LE(MODE, 0);
  chmod.writeUInt32LE(0o4777, 68);
  for (const node of [closed, open, common]) t.is(ask(OP.SETATTR, node, chmod), EPERM);
  t.is(ask(OP.OPEN, closed, u32(O_WRONLY, 0)), EACCES);
  t.is(ask(OP.OPEN, closed, u32(0, 0)), 0);
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

test("where everybody may take away only what is theirs, host root's stays", (t) => {
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

const IN_GROUP: Ownership = { ...nobodys, holds: { user: () => false, group: () => true } };
const O_TRUNC = 0o1000;
/** what the attacks below are made on: a file's mode, and whether it is to be had */
const READING: [what: string, ownership: Ownership, mode: number, flags: number, errno: number][] = [
  ['a file of mode 0600', nobodys, 0o600, 0, EACCES],
  ['a file of mode 0640 of another group', nobodys, 0o640, 0, EACCES],
  ['a file of mode 0640 of a group of the container', IN_GROUP, 0o640, 0, 0],
  ['a file of mode 0604', nobodys, 0o604, 0, 0],
  ['a file of mode 0602, to be written', nobodys, 0o602, O_WRONLY, 0],
  ['a file of mode 0602, to be read and written', nobodys, 0o602, 2, EACCES],
  ['a file of mode 0604, to be emptied on the way', nobodys, 0o604, O_TRUNC, EACCES],
];
for (const [what, ownership, mode, flags, errno] of READING)
  test(`open of host root's: ${what}: ${errno === 0 ? 'as anybody' : 'refused'}`, (t) => {
    const { ask, lookup, folder } = serve(t, ownership);
    writeFileSync(join(folder, 'secret'), 'secret');
    chmodSync(join(folder, 'secret'), mode);
    t.is(ask(OP.OPEN, lookup('secret'), u32(flags, 0)), errno);
  });

test("a folder of host root's is listed and searched only where anybody may", (t) => {
  const { ask, lookup, folder } = serve(t, nobodys);
  mkdirSync(join(folder, 'home'));
  writeFileSync(join(folder, 'home/key'), 'key');
  const home = lookup('home');
  for (const [mode, list, search] of [
    [0o700, EACCES, EACCES],
    [0o701, EACCES, 0],
    [0o704, 0, EACCES],
    [0o705, 0, 0],
  ] as const) {
    chmodSync(join(folder, 'home'), mode);
    t.is(ask(OP.OPENDIR, home, u32(0, 0)), list, `${mode.toString(8)} listed`);
    t.is(ask(OP.LOOKUP, home, Buffer.from('key\0')), search, `${mode.toString(8)} searched`);
  }
});

/** Attack: CVE-like in any file server that is root: each of these is a right, or a lie, on the host itself. */
const ATTRIBUTES = [
  'security.capability',
  'security.selinux',
  'security.ima',
  'trusted.overlay.opaque',
  'system.posix_acl_access',
  'system.posix_acl_default',
  'user.',
  'user',
  'USER.x',
];
const containers: Ownership = { ...nobodys, holds: { user: () => true, group: () => true } };
for (const name of ATTRIBUTES)
  test(`the extended attribute ${name} is not the guest's, where the VMM is host root`, (t) => {
    const { ask, lookup } = serve(t, containers);
    const file = lookup('open');
    t.is(ask(OP.SETXATTR, file, Buffer.concat([u32(1, 0), Buffer.from(`${name}\0y`)])), EOPNOTSUPP);
    t.is(ask(OP.GETXATTR, file, Buffer.concat([u32(100, 0), Buffer.from(`${name}\0`)])), EOPNOTSUPP);
    t.is(ask(OP.REMOVEXATTR, file, Buffer.from(`${name}\0`)), EOPNOTSUPP);
  });

test('extended attributes of users are read where the file may be, and are all that is listed', (t) => {
  const { ask, handle, lookup, folder } = serve(t, nobodys);
  writeFileSync(join(folder, 'secret'), '');
  chmodSync(join(folder, 'secret'), 0o600);
  t.is(ask(OP.GETXATTR, lookup('secret'), Buffer.concat([u32(100, 0), Buffer.from('user.x\0')])), EACCES);
  t.is(ask(OP.GETXATTR, lookup('closed'), Buffer.concat([u32(100, 0), Buffer.from('user.x\0')])), ENODATA);
  t.is(handle(OP.LISTXATTR, lookup('closed'), u32(100, 0)).length, 0);
  const names = Buffer.from('security.capability\0user.x\0trusted.y\0user.z\0');
  t.is(Buffer.from(new Access(nobodys).attributeNames(names)).toString(), 'user.x\0user.z\0');
});

const ISGID = 0o2000;
test("no program of the guest's gets set-group-ID of a group that is none of the container's", (t) => {
  const owner: Ownership = {
    toGuest: () => [0, 0],
    toHost: () => [process.getuid!(), process.getgid!()],
    holds: { user: () => true, group: () => false },
  };
  const { ask, lookup, folder } = serve(t, owner);
  const chmod = Buffer.alloc(88);
  chmod.writeUInt32LE(MODE, 0);
  chmod.writeUInt32LE(0o2755, 68);
  t.is(ask(OP.SETATTR, lookup('open'), chmod), 0);
  t.is(statSync(join(folder, 'open')).mode & 0o7777, 0o755);
  // a folder hands its group down; the bit on a folder is a rule, not a right
  chmodSync(join(folder, 'common'), 0o2777);
  const common = lookup('common');
  for (const [what, opcode, body] of [
    ['create', OP.CREATE, named('made', 0o101, 0o2755, 0, 0)],
    ['mknod', OP.MKNOD, named('node', 0o102755, 0, 0, 0)],
  ] as const)
    t.is(ask(opcode, common, body), 0, what);
  for (const name of ['made', 'node']) t.is(statSync(join(folder, 'common', name)).mode & ISGID, 0, name);
  t.is(ask(OP.MKDIR, common, named('folder', 0o755, 0)), 0);
  t.is(statSync(join(folder, 'common/folder')).mode & ISGID, ISGID);
});

const strangers: [title: string, ownership: Ownership][] = [
  [
    'an id that root gives to no container',
    { toGuest: (uid, gid) => [uid, gid], toHost: () => undefined, holds: { user: () => true, group: () => true } },
  ],
  // what chown(2) says of it is not the same for every user that may run this
  [
    'an id that this process cannot give',
    {
      toGuest: (uid, gid) => [uid, gid],
      toHost: () => {
        throw new ProtocolError(EOVERFLOW);
      },
    },
  ],
];
for (const [title, ownership] of strangers)
  for (const [what, opcode, body] of MAKERS)
    test(`${what} for ${title} is refused, and leaves nothing`, (t) => {
      const { ask, folder } = serve(t, ownership);
      t.is(ask(opcode, ROOT, body), EOVERFLOW);
      t.deepEqual(readdirSync(folder).sort(), ['closed', 'common', 'open']);
    });
