/**
 * A shared folder in a machine that is saved: what the guest knew of it is found again by its path, by the machine that
 * goes on and by as many copies as there are; and what a saved state says is beneath the folder or nowhere.
 */
import {
  appendFileSync,
  chmodSync,
  fstatSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readSync,
  renameSync,
  rmSync,
  symlinkSync,
  unlinkSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import { deserialize, serialize } from 'node:v8';
import test, { type ExecutionContext } from 'ava';
import { rootIsOwner, sameOwners } from '../../../src/vmm/devices/fs/share/attributes.ts';
import { Fs } from '../../../src/vmm/devices/fs/device.ts';
import { ENTRY_OUT, ERRNO, OP } from '../../../src/vmm/devices/fs/share/fuse.ts';
import { Server } from '../../../src/vmm/devices/fs/server.ts';
import type { SavedShare } from '../../../src/vmm/devices/fs/share/share.ts';

const ROOT = 1;
const O_RDWR = 2;

const words = (...values: number[]) => Buffer.from(Uint32Array.from(values).buffer);

/** A guest's kernel on a folder with `file`, `dir/inner`. */
class Guest implements Disposable {
  readonly server: Server;
  readonly folder: string;

  constructor(folder: string, options: { descriptors?: number } = {}) {
    this.folder = folder;
    this.server = new Server({ path: folder, readOnly: false, ownership: sameOwners, ...options });
  }

  ask(opcode: number, node: number, body: Uint8Array): Buffer {
    const [uid, gid] = [process.getuid!(), process.getgid!()];
    const request = { length: 40 + body.length, opcode, unique: new Uint8Array(8), node, uid, gid, body };
    return Buffer.from(this.server.handle(request, 0x10000) as Uint8Array);
  }

  mount(): this {
    this.ask(OP.INIT, 0, words(7, 31, 0, 0));
    return this;
  }

  lookup(name: string, folder = ROOT): number {
    return Number(this.ask(OP.LOOKUP, folder, Buffer.from(`${name}\0`, 'latin1')).readBigUInt64LE(0));
  }

  open(node: number, flags = 0): number {
    return Number(this.ask(OP.OPEN, node, words(flags, 0)).readBigUInt64LE(0));
  }

  /** @returns the inode's number, or the errno of the answer */
  inode(node: number): number {
    return attempt(() => Number(this.ask(OP.GETATTR, node, Buffer.alloc(16)).readBigUInt64LE(16)));
  }

  /** @returns what is in an open file, or the errno of the answer */
  read(handle: number): string | number {
    return attempt(() => {
      const fd = this.server.handles.get(handle);
      const bytes = Buffer.alloc(fstatSync(fd).size);
      return bytes.toString('latin1', 0, readSync(fd, bytes, 0, bytes.length, 0));
    });
  }

  [Symbol.dispose](): void {
    this.server[Symbol.dispose]();
  }
}

function attempt<T>(work: () => T): T | number {
  try {
    return work();
  } catch (error) {
    return (error as { errno: number }).errno;
  }
}

function place(t: ExecutionContext): string {
  const folder = mkdtempSync('/var/tmp/husk-fs-saved-');
  t.teardown(() => rmSync(folder, { recursive: true, force: true }));
  mkdirSync(join(folder, 'share/dir'), { recursive: true });
  for (const name of ['share/file', 'share/dir/inner', 'outside']) writeFileSync(join(folder, name), name);
  return folder;
}

/** A guest that goes on from what another one's machine had, as through a file. */
function goneOn(t: ExecutionContext, guest: Guest, options = {}): Guest {
  const saved = deserialize(serialize(guest.server.save()!)) as SavedShare;
  const copy = new Guest(guest.folder, options);
  t.teardown(() => copy[Symbol.dispose]());
  copy.server.restore(saved);
  return copy;
}

function mounted(t: ExecutionContext): { above: string; guest: Guest } {
  const above = place(t);
  const guest = new Guest(join(above, 'share')).mount();
  t.teardown(() => guest[Symbol.dispose]());
  return { above, guest };
}

test('nodes, open files and open folders go on in several copies, each with its own', (t) => {
  const { guest } = mounted(t);
  const dir = guest.lookup('dir');
  const inner = guest.lookup('inner', dir);
  const handle = guest.open(inner, O_RDWR);
  const listing = Number(guest.ask(OP.OPENDIR, dir, words(0, 0)).readBigUInt64LE(0));
  const copies = [goneOn(t, guest), goneOn(t, goneOn(t, guest))];
  for (const each of [guest, ...copies]) {
    t.is(each.inode(inner), guest.inode(inner));
    t.is(each.read(handle), 'share/dir/inner');
    t.true(fstatSync(each.server.handles.get(listing)).isDirectory());
    t.is(each.lookup('inner', dir), inner);
    t.deepEqual(each.server.figures, { ...guest.server.figures, watches: 0 });
  }
  const [copy] = copies as [Guest];
  copy.ask(OP.RELEASE, inner, Buffer.concat([words(handle, 0), Buffer.alloc(16)]));
  writeSync(guest.server.handles.get(handle), '!');
  t.deepEqual([guest.read(handle), copy.read(handle)], ['!hare/dir/inner', ERRNO.EBADF]);
  // numbers are not given again
  t.not(copy.open(inner), handle);
  const added = join(guest.folder, 'added');
  writeFileSync(added, '');
  t.false([ROOT, dir, inner].includes(copy.lookup('added')));
});

test('a guest that has nothing mounted has nothing saved', (t) => {
  const { guest } = mounted(t);
  guest.ask(OP.DESTROY, 0, Buffer.alloc(0));
  t.is(guest.server.save(), undefined);
});

test("the device's state is plain data, and has the share in it", (t) => {
  const above = place(t);
  const owner = rootIsOwner(process.getuid!(), process.getgid!());
  using fs = new Fs({ tag: 'share', path: join(above, 'share'), readOnly: false, ownership: owner });
  fs.restore({
    table: 4096,
    lastChange: 7,
    bytesRead: 1,
    bytesWritten: 2,
    share: { inodes: { next: 9, devices: [], inodes: [] }, handles: { next: 3, open: [] } },
  });
  t.deepEqual(deserialize(serialize(fs.state)), fs.state);
  t.deepEqual([fs.state.lastChange, fs.state.share?.inodes.next, fs.state.share?.handles.next], [7, 9, 3]);
});

/** what the host does between the two: what GETATTR and a read of the open file then answer */
const MEANWHILE: [what: string, change: (above: string) => void, inode: 'same' | number, text: string | number][] = [
  ['writes to the file', (above) => appendFileSync(join(above, 'share/file'), '+'), 'same', 'share/file+'],
  ['removes the file', (above) => unlinkSync(join(above, 'share/file')), ERRNO.ESTALE, ERRNO.ESTALE],
  [
    'puts another file in its place',
    (above) => renameSync(join(above, 'outside'), join(above, 'share/file')),
    ERRNO.ESTALE,
    ERRNO.ESTALE,
  ],
  [
    'makes the file anew, perhaps with its number',
    (above) => {
      unlinkSync(join(above, 'share/file'));
      writeFileSync(join(above, 'share/file'), 'new');
    },
    ERRNO.ESTALE,
    ERRNO.ESTALE,
  ],
  [
    'puts a symbolic link to it in its place',
    (above) => {
      renameSync(join(above, 'share/file'), join(above, 'share/moved'));
      symlinkSync('moved', join(above, 'share/file'));
    },
    ERRNO.ESTALE,
    ERRNO.ESTALE,
  ],
];
for (const [what, change, inode, text] of MEANWHILE)
  test(`a host that ${what} between the saving and the going on`, (t) => {
    const { above, guest } = mounted(t);
    const file = guest.lookup('file');
    const handle = guest.open(file);
    const before = guest.inode(file);
    const saved = guest.server.save()!;
    change(above);
    using copy = new Guest(guest.folder);
    copy.server.restore(saved);
    t.is(copy.inode(file), inode === 'same' ? before : inode);
    t.is(copy.read(handle), text);
    // the guest closes and forgets what is gone like anything else
    copy.ask(OP.RELEASE, file, Buffer.concat([words(handle, 0), Buffer.alloc(16)]));
    copy.server.forget({
      length: 48,
      opcode: OP.FORGET,
      unique: new Uint8Array(8),
      node: file,
      uid: 0,
      gid: 0,
      body: words(1, 0),
    });
    t.deepEqual(copy.server.figures, { inodes: 1, handles: 0, watches: 0 });
  });

test('a file that the host moved before the saving is found where it is', (t) => {
  const { guest } = mounted(t);
  const file = guest.lookup('file');
  renameSync(join(guest.folder, 'file'), join(guest.folder, 'dir/ä moved (deleted)'));
  const copy = goneOn(t, guest);
  t.is(copy.inode(file), guest.inode(file));
});

for (const [what, lose] of [
  ['without a name', (file: string) => unlinkSync(file)],
  ['outside of the folder', (file: string) => renameSync(file, join(file, '../../away'))],
] as const)
  test(`an open file ${what} stays with the one that has it`, (t) => {
    const { guest } = mounted(t);
    const file = guest.lookup('file');
    const handle = guest.open(file);
    lose(join(guest.folder, 'file'));
    const copy = goneOn(t, guest);
    t.is(guest.read(handle), 'share/file');
    t.deepEqual([copy.inode(file), copy.read(handle)], [ERRNO.ESTALE, ERRNO.ESTALE]);
  });

// git makes its objects so
test('a file that was opened for writing when it was made, and is unwritable', (t) => {
  const { guest } = mounted(t);
  const body = Buffer.concat([words(O_RDWR, 0o100444, 0, 0), Buffer.from('object\0')]);
  const made = guest.ask(OP.CREATE, ROOT, body);
  const handle = Number(made.readBigUInt64LE(ENTRY_OUT));
  chmodSync(join(guest.folder, 'object'), 0o444);
  const copy = goneOn(t, guest);
  // Root may write to it.
  t.is(copy.read(handle), process.getuid!() === 0 ? '' : ERRNO.ESTALE);
});

test('more nodes and open files than a machine may have are gone', (t) => {
  const { guest } = mounted(t);
  const nodes = Array.from({ length: 200 }, (_, i) => {
    writeFileSync(join(guest.folder, `f${i}`), '');
    return guest.lookup(`f${i}`);
  });
  const handles = nodes.map((node) => guest.open(node));
  const copy = goneOn(t, guest, { descriptors: 100 });
  t.is(copy.server.figures.inodes, 201);
  t.is(copy.inode(nodes[0]!), guest.inode(nodes[0]!));
  t.is(copy.inode(nodes.at(-1)!), ERRNO.ESTALE);
  t.is(copy.read(handles.at(-1)!), ERRNO.ESTALE);
});

// Attack: a monitor that was taken over writes what it likes into the state of its copies.
for (const path of ['../outside', '/etc/passwd', 'link/outside', 'dir/../../outside', 'proc/1/root', 'dir/inner/x'])
  test(`a saved path that leads out of the folder or nowhere: ${path}`, (t) => {
    const { above, guest } = mounted(t);
    symlinkSync('..', join(guest.folder, 'link'));
    symlinkSync('/proc', join(guest.folder, 'proc'));
    const file = guest.lookup('file');
    const handle = guest.open(file);
    const saved = guest.server.save()!;
    const identity = new Guest(above);
    const outside = identity.mount().lookup('outside');
    const real = identity.server.save()!.inodes.inodes.find(({ node }) => node === outside)!.identity;
    identity[Symbol.dispose]();
    for (const each of saved.inodes.inodes) Object.assign(each, { path, identity: real });
    using copy = new Guest(guest.folder);
    copy.server.restore(saved);
    t.deepEqual([copy.inode(file), copy.read(handle)], [ERRNO.ESTALE, ERRNO.ESTALE]);
  });

test('a read-only folder is not written by a handle of a saved state', (t) => {
  const { above, guest } = mounted(t);
  const file = guest.lookup('file');
  const handle = guest.open(file, O_RDWR);
  const saved = guest.server.save()!;
  using server = new Server({ path: join(above, 'share'), readOnly: true, ownership: sameOwners });
  server.restore(saved);
  t.is(
    attempt(() => server.handles.get(handle)),
    ERRNO.ESTALE,
  );
  t.is(readFileSync(join(above, 'share/file'), 'latin1'), 'share/file');
});
