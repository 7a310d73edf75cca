/**
 * Names and attributes of a share that the guest keeps until the host changes them: what each kind of change ends, what
 * the guest's own changes leave alone, and what a guest does with its table that it should not.
 */
import { spawnSync } from 'node:child_process';
import {
  appendFileSync,
  chmodSync,
  closeSync,
  linkSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  unlinkSync,
  utimesSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { sameOwners } from '../../../src/vmm/devices/fs/share/attributes.ts';
import { CHANGES_ADDRESS, F_CHANGES } from '../../../src/vmm/devices/fs/share/config.ts';
import { Fs } from '../../../src/vmm/devices/fs/device.ts';
import { ENTRY_OUT, FOPEN_CACHE_DIR, FOPEN_KEEP_CACHE, OP } from '../../../src/vmm/devices/fs/share/fuse.ts';
import { CHANGE_COUNTS } from '../../../src/vmm/devices/fs/share/lifetimes.ts';
import { watchLimit } from '../../../src/vmm/devices/fs/share/watches.ts';
import { Rng } from '../../../src/vmm/devices/rng/device.ts';
import { Server } from '../../../src/vmm/devices/fs/server.ts';
import { Mapping } from '../../../src/host/memory/mapping.ts';
import { GuestMemory } from '../../../src/vmm/memory/guest-memory.ts';
import { Driver } from '../driver.ts';

const SRC = join(import.meta.dirname, '../../../src/vmm');
const REQUESTS = 1;
const ROOT = 1;
const TABLE = 0x100000;
const MEMORY = 4 * 1024 * 1024;
const UNTIL_CHANGED = 1n << 63n;
/** struct fuse_setattr_in: bytes; valid: mode */
const SETATTR_BYTES = 88;
const MODE = 1;

const text = (...parts: string[]) => Buffer.from(parts.map((part) => `${part}\0`).join(''), 'latin1');
const words = (...values: number[]) => Buffer.from(Uint32Array.from(values).buffer);

/** What the guest knows, and until when. */
interface Known {
  node: number;
  folder: number;
  name: bigint;
  attributes: bigint;
}

/** A guest's kernel that keeps what it was told, on a folder with `file`, `other`, `link`, `dir/inner`. */
class Guest implements Disposable {
  readonly above = mkdtempSync('/var/tmp/husk-lifetimes-');
  readonly folder = join(this.above, 'share');
  readonly memory = GuestMemory.allocate(MEMORY);
  readonly state = { table: TABLE, lastChange: 0 };
  readonly server: Server;

  constructor(t: ExecutionContext, options: { path?: string; descriptors?: number; watches?: number } = {}) {
    mkdirSync(join(this.folder, 'dir'), { recursive: true });
    for (const name of ['file', 'other', 'dir/inner', '../outside']) writeFileSync(this.at(name), 'text');
    symlinkSync('file', this.at('link'));
    const { path = this.folder, descriptors, watches } = options;
    this.server = new Server({ path, readOnly: false, ownership: sameOwners, descriptors, watches });
    this.server.countChanges(this.memory, this.state);
    t.teardown(() => this[Symbol.dispose]());
  }

  at(name: string): string {
    return join(this.folder, name);
  }

  ask(opcode: number, node: number, body: Uint8Array): Buffer {
    const [uid, gid] = [process.getuid!(), process.getgid!()];
    const request = { length: 40 + body.length, opcode, unique: new Uint8Array(8), node, uid, gid, body };
    const reply = this.server.handle(request, 0x10000) as Uint8Array;
    this.server.settle(); // as the queue does before the reply is given
    return Buffer.from(reply);
  }

  lookup(name: string, folder = ROOT): Known {
    return this.known(this.ask(OP.LOOKUP, folder, text(name)), folder);
  }

  known(entry: Buffer, folder = ROOT): Known {
    return {
      node: Number(entry.readBigUInt64LE(0)),
      folder,
      name: entry.readBigUInt64LE(16),
      attributes: entry.readBigUInt64LE(24),
    };
  }

  attributes(node: number): bigint {
    return this.ask(OP.GETATTR, node, Buffer.alloc(16)).readBigUInt64LE(0);
  }

  /** as fuse_expired() of the guest's kernel */
  keeps(node: number, lifetime: bigint): boolean {
    const counts = new BigUint64Array(this.memory.bytes.buffer, this.memory.bytes.byteOffset + TABLE, CHANGE_COUNTS);
    return (lifetime & UNTIL_CHANGED) !== 0n && counts[node % CHANGE_COUNTS]! <= (lifetime & ~UNTIL_CHANGED);
  }

  /** @returns what is still kept of it */
  kept({ node, folder, name, attributes }: Known): string {
    this.server.settle();
    const parts = [this.keeps(folder, name) && 'name', node > 0 && this.keeps(node, attributes) && 'attributes'];
    return parts.filter(Boolean).join(' ');
  }

  [Symbol.dispose](): void {
    this.server[Symbol.dispose]();
    this.memory[Symbol.dispose]();
    rmSync(this.above, { recursive: true, force: true });
  }
}

const BOTH = 'name attributes';
/** what the host does, and what is then kept of: file, other, dir/inner, a name that is not there */
const CHANGES: [what: string, change: (guest: Guest) => void, ...kept: [string, string, string, string]][] = [
  ['nothing', () => {}, BOTH, BOTH, BOTH, 'name'],
  ['a write', (g) => appendFileSync(g.at('file'), 'x'), 'name', BOTH, BOTH, 'name'],
  ['a truncation', (g) => truncateSync(g.at('file'), 1), 'name', BOTH, BOTH, 'name'],
  ['a new mode', (g) => chmodSync(g.at('file'), 0o600), 'name', BOTH, BOTH, 'name'],
  ['new times', (g) => utimesSync(g.at('file'), 1, 1), 'name', BOTH, BOTH, 'name'],
  ['a second name', (g) => linkSync(g.at('file'), g.at('../second')), 'name', BOTH, BOTH, 'name'],
  ['a removal', (g) => unlinkSync(g.at('file')), '', 'attributes', BOTH, ''],
  ['a new name beside it', (g) => writeFileSync(g.at('absent'), ''), 'attributes', 'attributes', BOTH, ''],
  ['a new folder', (g) => mkdirSync(g.at('absent')), 'attributes', 'attributes', BOTH, ''],
  ['a name that goes', (g) => renameSync(g.at('file'), g.at('../gone')), '', 'attributes', BOTH, ''],
  ['a file put in its place', (g) => renameSync(g.at('../outside'), g.at('file')), '', 'attributes', BOTH, ''],
  ['a name that comes', (g) => renameSync(g.at('../outside'), g.at('absent')), 'attributes', 'attributes', BOTH, ''],
  ['a change in a folder', (g) => unlinkSync(g.at('dir/inner')), BOTH, BOTH, '', 'name'],
  ['the folder moves', (g) => renameSync(g.at('dir'), g.at('../dir')), 'attributes', 'attributes', 'attributes', ''],
];
for (const [what, change, ...kept] of CHANGES)
  test(`on the host: ${what}`, (t) => {
    const guest = new Guest(t);
    const dir = guest.lookup('dir');
    const known = [
      guest.lookup('file'),
      guest.lookup('other'),
      guest.lookup('inner', dir.node),
      guest.lookup('absent'),
    ];
    change(guest);
    t.deepEqual(
      known.map((each) => guest.kept(each)),
      kept,
    );
    // what is asked again is kept again
    t.is(guest.kept(guest.lookup('other')), BOTH);
  });

test('on the host: a write by another name, and by a descriptor whose name is gone', (t) => {
  const guest = new Guest(t);
  linkSync(guest.at('file'), guest.at('../second'));
  const file = guest.lookup('file');
  appendFileSync(guest.at('../second'), 'x');
  t.is(guest.kept(file), 'name');
  const fd = openSync(guest.at('../second'), 'a');
  unlinkSync(guest.at('../second'));
  guest.server.settle();
  const again = guest.lookup('file');
  t.is(guest.kept(again), BOTH);
  writeSync(fd, 'y');
  t.is(guest.kept(again), 'name');
  const third = guest.lookup('file');
  closeSync(fd); // all that was written has been told
  t.is(guest.kept(third), BOTH);
});

test('on the host: a write by a shared mapping is told when the file is closed', (t) => {
  const guest = new Guest(t);
  utimesSync(guest.at('file'), 1, 1); // a time that no clock's tick can give again
  const file = guest.lookup('file');
  const fd = openSync(guest.at('file'), 'r+');
  const mapping = Mapping.shared(fd, 4);
  closeSync(fd);
  t.is(guest.kept(file), BOTH);
  new Uint8Array(mapping.buffer).set(Buffer.from('TEXT'));
  mapping[Symbol.dispose]();
  t.is(guest.kept(file), 'name');
});

test('on the host: a link is kept, and ends when it is replaced', (t) => {
  const guest = new Guest(t);
  const link = guest.lookup('link');
  appendFileSync(guest.at('file'), 'x');
  t.is(guest.kept(link), BOTH);
  unlinkSync(guest.at('link'));
  symlinkSync('other', guest.at('link'));
  t.is(guest.kept(link), '');
});

const create = (name: string) => Buffer.concat([words(0o102, 0o644, 0, 0), text(name)]);
const rename = (folder: number, from: string, to: string) => Buffer.concat([words(folder, 0), text(from, to)]);
/** what the guest itself does */
const OWN: [what: string, act: (guest: Guest) => Buffer][] = [
  ['CREATE', (g) => g.ask(OP.CREATE, ROOT, create('new'))],
  ['MKDIR', (g) => g.ask(OP.MKDIR, ROOT, Buffer.concat([words(0o755, 0), text('new')]))],
  ['MKNOD', (g) => g.ask(OP.MKNOD, ROOT, Buffer.concat([words(0o100644, 0, 0, 0), text('new')]))],
  ['SYMLINK', (g) => g.ask(OP.SYMLINK, ROOT, text('new', 'file'))],
  ['LINK', (g) => g.ask(OP.LINK, ROOT, Buffer.concat([words(g.lookup('link').node, 0), text('new')]))],
  ['UNLINK', (g) => g.ask(OP.UNLINK, ROOT, text('link'))],
  ['RENAME', (g) => g.ask(OP.RENAME, ROOT, rename(ROOT, 'link', 'new'))],
  ['RENAME into another folder', (g) => g.ask(OP.RENAME, ROOT, rename(g.lookup('dir').node, 'link', 'new'))],
  ['RENAME over another name', (g) => g.ask(OP.RENAME, ROOT, rename(ROOT, 'link', 'other'))],
];
for (const [what, act] of OWN)
  test(`the guest's own ${what} leaves what it knows of other names alone`, (t) => {
    const guest = new Guest(t);
    const [file, absent] = [guest.lookup('file'), guest.lookup('absent')];
    const reply = act(guest);
    t.deepEqual([guest.kept(file), guest.kept(absent)], [BOTH, 'name']);
    if (reply.length >= ENTRY_OUT)
      t.regex(guest.kept(guest.known(reply)), what === 'LINK' ? /^name/ : /^name attributes$/);
  });

test("the guest's own change of a mode is kept; the host's of the same file, beside it, is not lost", (t) => {
  const guest = new Guest(t);
  const file = guest.lookup('file');
  const set = Buffer.alloc(SETATTR_BYTES);
  set.writeUInt32LE(MODE, 0);
  set.writeUInt32LE(0o640, 68);
  // one event for both changes, when the first has not been read
  chmodSync(guest.at('file'), 0o600);
  const reply = guest.ask(OP.SETATTR, file.node, set);
  t.true(guest.keeps(file.node, reply.readBigUInt64LE(0)));
  t.is(reply.readUInt32LE(16 + 60) & 0o777, 0o640);
  chmodSync(guest.at('file'), 0o644);
  t.false(guest.keeps(file.node, reply.readBigUInt64LE(0)) && guest.kept(file) === BOTH);
});

test("the guest's own write is kept; the host's to the same file is told", (t) => {
  const guest = new Guest(t);
  const file = guest.lookup('file');
  appendFileSync(guest.at('file'), 'x');
  guest.server.ownWrite(file.node);
  t.is(guest.kept(file), 'name'); // the writer has closed the file, which is no longer as the guest was told
  const again = guest.lookup('file');
  const fd = openSync(guest.at('file'), 'a');
  writeSync(fd, 'y');
  guest.server.ownWrite(again.node);
  t.is(guest.kept(again), BOTH);
  writeSync(fd, 'z');
  t.is(guest.kept(again), 'name');
  closeSync(fd);
  guest.server.ownWrite(2 ** 40); // attack: a node that there is not
});

test('a name that the guest moves is kept in the other folder, until the host changes it there', (t) => {
  const guest = new Guest(t);
  const dir = guest.lookup('dir');
  const inner = guest.lookup('inner', dir.node);
  guest.ask(OP.RENAME, dir.node, rename(ROOT, 'inner', 'moved'));
  t.true(guest.keeps(dir.node, inner.name)); // as the guest's kernel asks when the move is done
  t.is(guest.kept({ ...inner, folder: ROOT }), BOTH);
  renameSync(guest.at('../outside'), guest.at('moved'));
  t.is(guest.kept({ ...inner, folder: ROOT }), '');
});

test('a name that the host has replaced before the guest moves it ends with the move', (t) => {
  const guest = new Guest(t);
  const dir = guest.lookup('dir');
  const inner = guest.lookup('inner', dir.node);
  renameSync(guest.at('../outside'), guest.at('dir/inner'));
  guest.ask(OP.RENAME, dir.node, rename(ROOT, 'inner', 'moved'));
  t.false(guest.keeps(dir.node, inner.name));
});

test('names that the guest exchanges are asked for again', (t) => {
  const guest = new Guest(t);
  const dir = guest.lookup('dir');
  const [inner, file] = [guest.lookup('inner', dir.node), guest.lookup('file')];
  guest.ask(OP.RENAME2, dir.node, Buffer.concat([words(ROOT, 0, 2, 0), text('inner', 'file')]));
  t.deepEqual([guest.keeps(dir.node, inner.name), guest.keeps(ROOT, file.name)], [false, false]);
});

test('a name that the guest moves into a folder whose changes nobody tells is asked for again', (t) => {
  const guest = new Guest(t, { watches: 2 });
  mkdirSync(guest.at('unwatched'));
  const dir = guest.lookup('dir');
  const inner = guest.lookup('inner', dir.node);
  t.is(guest.kept(inner), 'name');
  const unwatched = guest.lookup('unwatched');
  t.throws(() => guest.lookup('absent', unwatched.node), { message: /ENOENT/ });
  guest.ask(OP.RENAME, dir.node, rename(unwatched.node, 'inner', 'moved'));
  t.false(guest.keeps(unwatched.node, inner.name));
});

test("names of a folder may be kept from one opening to the next where the folder's changes are told", (t) => {
  const guest = new Guest(t, { watches: 1 });
  const flags = (node: number) => guest.ask(OP.OPENDIR, node, words(0, 0)).readUInt32LE(8);
  t.is(flags(ROOT), FOPEN_KEEP_CACHE | FOPEN_CACHE_DIR);
  t.is(flags(guest.lookup('dir').node), 0);
});

test('a new file is said to have no capabilities; of another file nothing is said', (t) => {
  const guest = new Guest(t);
  const flags = (entry: Buffer) => entry.readUInt32LE(40 + 84);
  t.is(flags(guest.ask(OP.CREATE, ROOT, create('new'))), 0x8000_0000);
  t.is(flags(guest.ask(OP.LOOKUP, ROOT, text('new'))), 0);
  t.is(flags(guest.ask(OP.CREATE, ROOT, Buffer.concat([words(2, 0o644, 0, 0), text('file')]))), 0);
  guest.server.stopCounting();
  t.is(flags(guest.ask(OP.CREATE, ROOT, create('newer'))), 0);
});

test("the host's change of a name that the guest has just made is told", (t) => {
  const guest = new Guest(t);
  const made = guest.known(guest.ask(OP.CREATE, ROOT, create('new')));
  t.is(guest.kept(made), BOTH);
  rmSync(guest.at('new'));
  writeFileSync(guest.at('new'), 'the host’s');
  t.is(guest.kept(made), '');
});

test('a name that the host made and removed before the guest makes it', (t) => {
  const guest = new Guest(t);
  const absent = guest.lookup('new');
  writeFileSync(guest.at('new'), '');
  unlinkSync(guest.at('new'));
  guest.ask(OP.CREATE, ROOT, create('new'));
  t.is(guest.kept(absent), '');
});

test('a change during a request is not missed: the answer is older than the change', (t) => {
  const guest = new Guest(t);
  const { node } = guest.lookup('file');
  const lifetime = guest.attributes(node);
  appendFileSync(guest.at('file'), 'x');
  const overtaken = guest.attributes(node); // asked before the event is read
  guest.server.settle();
  t.false(guest.keeps(node, lifetime));
  // It may be kept or not, but then the next look has the change.
  appendFileSync(guest.at('file'), 'y');
  guest.server.settle();
  t.false(guest.keeps(node, overtaken));
});

/** @returns what the guest is told of each name of the root by READDIRPLUS */
function listed(guest: Guest): Map<string, Known> {
  const handle = guest.ask(OP.OPENDIR, ROOT, words(0, 0)).readUInt32LE(0);
  const reply = guest.ask(OP.READDIRPLUS, ROOT, words(handle, 0, 0, 0, 0x8000, 0, 0, 0, 0, 0));
  const entries = new Map<string, Known>();
  for (let at = 0; at < reply.length;) {
    const length = reply.readUInt32LE(at + ENTRY_OUT + 16);
    const name = reply.toString('latin1', at + ENTRY_OUT + 24, at + ENTRY_OUT + 24 + length);
    entries.set(name, guest.known(reply.subarray(at, at + ENTRY_OUT)));
    at += ENTRY_OUT + Math.ceil((24 + length) / 8) * 8;
  }
  return entries;
}

test('READDIRPLUS: each entry is kept until it changes', (t) => {
  const guest = new Guest(t);
  const entries = listed(guest);
  t.deepEqual([...entries.keys()].sort(), ['.', '..', 'dir', 'file', 'link', 'other']);
  for (const name of ['dir', 'file', 'link', 'other']) t.is(guest.kept(entries.get(name)!), BOTH, name);
  appendFileSync(guest.at('other'), 'x');
  t.deepEqual([guest.kept(entries.get('other')!), guest.kept(entries.get('file')!)], ['name', BOTH]);
});

test('READDIRPLUS looks up what the guest does not know, or no more, and says nothing of the rest', (t) => {
  const guest = new Guest(t);
  const said = () =>
    [...listed(guest)].flatMap(([name, { node }]) => (node === 0 || name[0] === '.' ? [] : [name])).sort();
  const all = ['dir', 'file', 'link', 'other'];
  const file = guest.lookup('file');
  const cases: [what: string, change: () => void, said: string[]][] = [
    ['one is known', () => {}, ['dir', 'link', 'other']],
    ['all are known', () => {}, []],
    ['the host changes a file', () => appendFileSync(guest.at('other'), 'x'), ['other']],
    ['the host changes a mode', () => chmodSync(guest.at('dir'), 0o700), ['dir']],
    ['the host makes a name', () => writeFileSync(guest.at('new'), ''), [...all, 'new'].sort()],
    ['the host removes a name', () => unlinkSync(guest.at('new')), all],
    ['the guest has had a file open', () => guest.ask(OP.RELEASE, 1, release(open(guest, file.node))), ['file']],
    ['the guest makes a name in a folder', () => make(guest, guest.lookup('dir').node, 'one'), ['dir']],
    [
      'the guest has the file by another name too',
      () => linkSync(guest.at('file'), guest.at('dir/two')),
      ['dir', 'file'],
    ],
    ['the guest looks there', () => guest.lookup('two', guest.lookup('dir').node), ['file']],
    ['the guest has forgotten', () => forget(guest, guest.lookup('other').node), ['other']],
  ];
  for (const [what, change, wanted] of cases) {
    change();
    guest.server.settle();
    t.deepEqual(said(), wanted, what);
  }
});

const open = (guest: Guest, node: number) => guest.ask(OP.OPEN, node, words(0, 0)).readUInt32LE(0);
const make = (guest: Guest, folder: number, name: string) =>
  guest.ask(OP.MKDIR, folder, Buffer.concat([words(0o755, 0), text(name)]));
const forget = (guest: Guest, node: number) => {
  const body = words(1000, 0);
  guest.server.forget({ length: 48, opcode: OP.FORGET, unique: new Uint8Array(8), node, uid: 0, gid: 0, body });
};

test('more changes than the kernel queues: everything is asked again', (t) => {
  const guest = new Guest(t);
  const [file, dir] = [guest.lookup('file'), guest.lookup('dir')];
  guest.lookup('other');
  // two in turn, so that the kernel does not make one event of them; its queue has 16,384 places unless it is set
  for (let i = 0; i < 10_000; i++) for (const name of ['file', 'other']) chmodSync(guest.at(name), 0o600);
  t.deepEqual([guest.kept(file), guest.kept(dir)], ['', '']);
  t.is(guest.kept(guest.lookup('dir')), BOTH);
});

const release = (handle: number) => {
  const body = Buffer.alloc(24);
  body.writeUInt32LE(handle, 0);
  return body;
};

test("a file that the host removes takes no space any more, when the guest has closed it; the guest's own stays", (t) => {
  const guest = new Guest(t);
  const pinned = () =>
    readdirSync('/proc/self/fd').filter((fd) => {
      const path = `/proc/self/fd/${fd}`;
      try {
        return readlinkSync(path).startsWith(guest.folder) && statSync(path).nlink === 0;
      } catch {
        return false; // the descriptor that lists them
      }
    }).length;
  const [file, other, inner] = [guest.lookup('file'), guest.lookup('other'), guest.lookup('dir')].map(
    ({ node }) => node,
  );
  const kept = guest.lookup('inner', inner).node;
  linkSync(guest.at('dir/inner'), guest.at('second'));
  const handle = guest.ask(OP.OPEN, other!, words(0, 0)).readUInt32LE(0);
  for (const name of ['file', 'other', 'dir/inner']) unlinkSync(guest.at(name));
  guest.server.settle();
  t.throws(() => guest.attributes(file!), { message: /errno 116/ });
  t.is(guest.lookup('file').node, 0);
  t.notThrows(() => guest.attributes(other!));
  t.notThrows(() => guest.attributes(kept));
  t.is(pinned(), 2); // the inode and its handle
  guest.ask(OP.RELEASE, other!, release(handle));
  t.throws(() => guest.attributes(other!), { message: /errno 116/ });
  t.is(pinned(), 0);
  // a new file, perhaps with the number of one that is gone, is another node
  writeFileSync(guest.at('file'), 'new');
  t.not(guest.lookup('file').node, file);
  const own = guest.lookup('second').node;
  t.is(own, kept);
  guest.ask(OP.UNLINK, ROOT, text('second'));
  t.notThrows(() => guest.attributes(own));
  // what is forgotten afterwards is forgotten once
  for (const node of [file!, other!])
    guest.server.forget({
      length: 48,
      opcode: OP.FORGET,
      unique: new Uint8Array(8),
      node,
      uid: 0,
      gid: 0,
      body: Buffer.from([1, 0, 0, 0, 0, 0, 0, 0]),
    });
  t.is(guest.server.figures.inodes, 4);
});

test('a single file that is mounted into the share stays when the host removes its name', (t) => {
  const folder = mkdtempSync('/var/tmp/husk-lifetimes-');
  t.teardown(() => rmSync(folder, { recursive: true, force: true }));
  const script = `
    const { unlinkSync } = await import('node:fs');
    const { Server } = await import('${SRC}/devices/fs/server.ts');
    const { GuestMemory } = await import('${SRC}/memory/guest-memory.ts');
    const { sameOwners } = await import('${SRC}/devices/fs/share/attributes.ts');
    const server = new Server({ path: 'share', readOnly: false, ownership: sameOwners });
    server.countChanges(GuestMemory.allocate(${MEMORY}), { table: ${TABLE}, lastChange: 0 });
    const ask = (opcode, node, body) => Buffer.from(server.handle({ opcode, node, uid: 0, gid: 0, body }, 65536));
    const lookup = (name) => Number(ask(${OP.LOOKUP}, 1, Buffer.from([...Buffer.from(name), 0])).readBigUInt64LE(0));
    const [mounted, plain] = [lookup('mounted'), lookup('plain')];
    unlinkSync('source');
    unlinkSync('share/plain');
    server.settle();
    const links = (node) => {
      try {
        return ask(${OP.GETATTR}, node, Buffer.alloc(16)).readUInt32LE(16 + 64);
      } catch (error) {
        return error.errno;
      }
    };
    console.log(links(mounted), links(plain));`;
  const inside =
    'mkdir share && touch source share/mounted share/plain && mount --bind source share/mounted && exec "$0" --input-type=module -e "$1"';
  const child = spawnSync('unshare', ['-Urm', 'sh', '-c', inside, process.execPath, script], {
    cwd: folder,
    encoding: 'utf8',
  });
  t.is(child.stdout.trim(), '0 116', child.stderr);
});

test('a file system whose changes are made elsewhere: nothing is kept', (t) => {
  const guest = new Guest(t, { path: '/proc' });
  const { node, name, attributes } = guest.lookup('version');
  t.true(node > 0);
  t.deepEqual([name, attributes], [0n, 0n]);
  t.is(guest.server.figures.watches, 0);
});

test('watches: one for each inode that the guest knows, ended when it forgets, all of them at the end', (t) => {
  const guest = new Guest(t);
  const names = ['file', 'other', 'link', 'dir'];
  const nodes = names.map((name) => guest.lookup(name).node);
  t.is(guest.server.figures.watches, nodes.length + 1);
  for (const node of nodes) {
    const body = Buffer.alloc(8);
    body.writeUInt32LE(1, 0);
    guest.server.forget({ length: 48, opcode: OP.FORGET, unique: new Uint8Array(8), node, uid: 0, gid: 0, body });
  }
  t.is(guest.server.figures.watches, 1);
  t.is(guest.kept(guest.lookup('file')), BOTH);
  guest.server.stopCounting();
  t.is(guest.server.figures.watches, 0);
});

test('attack: more inodes than watches; those beyond are asked for each time', (t) => {
  // The bound of inodes is below that of watches here: every inode may have one, and there are no more of them.
  const guest = new Guest(t, { descriptors: 64 });
  for (let i = 0; i < 100; i++) writeFileSync(guest.at(`n${i}`), '');
  let refused = 0;
  for (let i = 0; i < 100; i++)
    try {
      guest.lookup(`n${i}`);
    } catch {
      refused++;
    }
  t.true(refused > 0);
  t.is(guest.server.figures.watches, guest.server.figures.inodes);
});

test("a machine takes a quarter of its user's watches", (t) => {
  t.is(watchLimit(), Math.floor(Number(readFileSync('/proc/sys/fs/inotify/max_user_watches', 'latin1')) / 4));
});

test('attack: more inodes than watches that the machine may take; those beyond are asked for each time', (t) => {
  const guest = new Guest(t, { watches: 4 });
  for (let i = 0; i < 20; i++) writeFileSync(guest.at(`n${i}`), '');
  const known = Array.from({ length: 20 }, (_, i) => guest.lookup(`n${i}`));
  t.is(guest.server.figures.watches, 4);
  // the folder takes one
  t.is(known.filter((each) => guest.kept(each) === BOTH).length, 3);
  t.is(known.filter(({ attributes }) => attributes === 0n).length, 17);
  // what is forgotten makes room
  const body = Buffer.alloc(8);
  body.writeUInt32LE(1, 0);
  const { node } = known[0]!;
  guest.server.forget({ length: 48, opcode: OP.FORGET, unique: new Uint8Array(8), node, uid: 0, gid: 0, body });
  t.is(guest.kept(guest.lookup('other')), BOTH);
  t.is(guest.server.figures.watches, 4);
});

/** what a user namespace allows of inotify, and what is then kept of a file: name and attributes */
const SHORT: [limit: string, number: number, kept: string][] = [
  ['max_inotify_watches', 1, 'true false'],
  ['max_inotify_watches', 0, 'false false'],
  ['max_inotify_instances', 0, 'false false'],
];
for (const [limit, number, kept] of SHORT)
  test(`a user with ${limit} ${number}: what cannot be watched is asked for each time`, (t) => {
    const script = `
      const { Server } = await import('${SRC}/devices/fs/server.ts');
      const { GuestMemory } = await import('${SRC}/memory/guest-memory.ts');
      const { sameOwners } = await import('${SRC}/devices/fs/share/attributes.ts');
      const server = new Server({ path: '/etc', readOnly: true, ownership: sameOwners });
      server.countChanges(GuestMemory.allocate(${MEMORY}), { table: ${TABLE}, lastChange: 0 });
      const body = Buffer.from([...Buffer.from('passwd'), 0]);
      const reply = Buffer.from(server.handle({ opcode: ${OP.LOOKUP}, node: 1, uid: 0, gid: 0, body }, 65536));
      console.log(reply.readBigUInt64LE(0) > 0n, reply.readBigUInt64LE(16) > 0n, reply.readBigUInt64LE(24) > 0n);`;
    const inside = `echo ${number} >/proc/sys/user/${limit} && exec "$0" --input-type=module -e "$1"`;
    const child = spawnSync('unshare', ['-Ur', 'sh', '-c', inside, process.execPath, script], { encoding: 'utf8' });
    t.is(child.stdout.trim(), `true ${kept}`, child.stderr);
  });

const device = (t: ExecutionContext, folder = mkdtempSync('/var/tmp/husk-lifetimes-')) => {
  t.teardown(() => rmSync(folder, { recursive: true, force: true }));
  return new Fs({ tag: 'test', path: folder, readOnly: false, ownership: sameOwners });
};
const HOSTILE: [what: string, low: number, high: number][] = [
  ['beyond memory', 0x7fff_f000, 0],
  ['half beyond memory', 16 * 1024 * 1024 - 4096, 0],
  ['far beyond', 0, 0xffff_ffff],
  ['not page-aligned', 0x100008, 0],
];
for (const [what, low, high] of HOSTILE)
  test(`attack: a table of changes ${what}`, (t) => {
    using driver = new Driver(device(t));
    driver.start({ config: { [CHANGES_ADDRESS]: low, [CHANGES_ADDRESS + 4]: high } });
    t.true(driver.needsReset);
    t.is(driver.reports.length, 1);
    driver.start();
    t.false(driver.needsReset);
  });

test('a table of a driver that gave up before it started is no other driver’s', (t) => {
  using driver = new Driver(device(t));
  driver.write(0x100 + CHANGES_ADDRESS, 0x100008);
  driver.start();
  t.false(driver.needsReset);
});

test('a table that is moved while it is used, or given without the feature, is not taken', (t) => {
  using driver = new Driver(device(t));
  driver.start({ config: { [CHANGES_ADDRESS]: TABLE } });
  const at = (address: number) => driver.memory.readU64(address);
  t.is(at(TABLE), 1);
  driver.write(0x100 + CHANGES_ADDRESS, TABLE * 2);
  driver.transport.device.settle!();
  t.is(at(TABLE * 2), 0);
  // a driver without the feature, as the kernel that has no patch
  driver.memory.write(TABLE, new Uint8Array(8));
  driver.start({ without: F_CHANGES, config: { [CHANGES_ADDRESS]: TABLE } });
  t.is(at(TABLE), 0);
});

test('numbers of changes go on after a snapshot, so that what its guest has kept ends', (t) => {
  const first = new Guest(t);
  const file = first.lookup('file');
  for (let i = 0; i < 5; i++) {
    appendFileSync(first.at('file'), 'x');
    first.server.settle();
  }
  const { attributes } = first.lookup('file');
  const second = new Guest(t);
  second.server.countChanges(second.memory, { ...first.state });
  t.false(second.keeps(file.node, attributes));
});

test("the host's change is in the guest's table before another device gives anything back, and without that", async (t) => {
  const folder = mkdtempSync('/var/tmp/husk-lifetimes-');
  const fs = device(t, folder);
  using driver = new Driver(fs);
  driver.start({ config: { [CHANGES_ADDRESS]: TABLE } });
  const [request, reply] = [TABLE * 3, TABLE * 3 + 4096];
  const ask = (opcode: number, node: number, body: Uint8Array) => {
    driver.memory.write(request, Buffer.concat([words(40 + body.length, opcode, 0, 0, node, 0, 0, 0, 0, 0), body]));
    driver.request(REQUESTS, [
      { address: request, length: 40 + body.length },
      { address: reply, length: 4096, write: true },
    ]);
  };
  ask(OP.INIT, 0, words(7, 40, 65536, 0xffff_ffff));
  ask(OP.LOOKUP, ROOT, text('absent'));
  const before = driver.memory.readU64(TABLE + 8 * ROOT);
  using rng = new Driver(new Rng(), { settle: () => fs.settle() });
  rng.start();
  rng.request(0, [{ address: TABLE, length: 8, write: true }]);
  t.is(driver.memory.readU64(TABLE + 8 * ROOT), before);
  writeFileSync(join(folder, 'absent'), '');
  rng.request(0, [{ address: TABLE, length: 8, write: true }]);
  const after = driver.memory.readU64(TABLE + 8 * ROOT);
  t.true(after > before);
  // and when nobody gives anything back, as soon as the event loop hears of it
  unlinkSync(join(folder, 'absent'));
  while (driver.memory.readU64(TABLE + 8 * ROOT) === after) await new Promise((resolve) => setImmediate(resolve));
  t.pass();
});
