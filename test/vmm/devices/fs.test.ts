/**
 * The file system device against drivers that are honest, and against those that are not: each attack on names, nodes,
 * handles, lengths and order by itself.
 */
import { execFileSync } from 'node:child_process';
import {
  chmodSync,
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { openFilesLimit } from '../../../src/host/descriptors.ts';
import { sameOwners } from '../../../src/vmm/devices/fs/share/attributes.ts';
import { boundsFor } from '../../../src/vmm/devices/fs/share/config.ts';
import { Fs } from '../../../src/vmm/devices/fs/device.ts';
import { ENTRY_OUT, OP } from '../../../src/vmm/devices/fs/share/fuse.ts';
import { removeFolder } from '../../fixtures/temporary.ts';
import { DATA, Driver } from '../driver.ts';

const [HIGH_PRIORITY, REQUESTS] = [0, 1];
const REPLY = DATA + 0x100000;
const REPLY_SIZE = 0x21000;
const ERRNO = {
  EPERM: 1,
  ENOENT: 2,
  EBADF: 9,
  EEXIST: 17,
  ENOTDIR: 20,
  EISDIR: 21,
  EINVAL: 22,
  ENFILE: 23,
  EROFS: 30,
  ERANGE: 34,
  ENAMETOOLONG: 36,
  ENOSYS: 38,
  EPROTO: 71,
} as const;

const text = (...parts: string[]) => Buffer.from(parts.map((part) => `${part}\0`).join(''), 'latin1');
function words(...values: [bytes: 4 | 8, value: number | bigint][]): Buffer {
  const out = Buffer.alloc(values.reduce((sum, [bytes]) => sum + bytes, 0));
  let at = 0;
  for (const [bytes, value] of values) {
    if (bytes === 4) out.writeUInt32LE(Number(value) >>> 0, at);
    else out.writeBigUInt64LE(BigInt(value), at);
    at += bytes;
  }
  return out;
}

class Share implements Disposable {
  /** what is shared is one level down, so that anything outside of it would be seen */
  readonly above = mkdtempSync(join(tmpdir(), 'husk-fs-'));
  readonly folder = join(this.above, 'share');
  readonly driver: Driver;
  readonly fs: Fs;

  constructor(
    t: ExecutionContext,
    options: { readOnly?: boolean; uninitialised?: boolean; descriptors?: number; onCrowded?: () => void } = {},
  ) {
    mkdirSync(this.folder);
    writeFileSync(join(this.above, 'secret'), 'secret');
    writeFileSync(join(this.folder, 'file'), 'contents');
    mkdirSync(join(this.folder, 'dir'));
    symlinkSync('../secret', join(this.folder, 'escape'));
    symlinkSync('..', join(this.folder, 'up'));
    execFileSync('mkfifo', [join(this.folder, 'fifo')]);
    this.fs = new Fs({
      tag: 'test',
      path: this.folder,
      readOnly: options.readOnly ?? false,
      ownership: sameOwners,
      descriptors: options.descriptors,
      onCrowded: options.onCrowded,
    });
    this.driver = new Driver(this.fs).start();
    if (!options.uninitialised)
      t.is(this.ask(OP.INIT, 0, words([4, 7], [4, 40], [4, 65536], [4, 0xffff_ffff])).errno, 0);
    t.teardown(() => this[Symbol.dispose]());
  }

  send(
    queue: number,
    opcode: number,
    node: number | bigint,
    body: Uint8Array,
    options: { length?: number; room?: number } = {},
  ) {
    const request = Buffer.concat([
      words(
        [4, options.length ?? 40 + body.length],
        [4, opcode],
        [8, 77],
        [8, node],
        [4, process.getuid!()],
        [4, process.getgid!()],
        [4, 1],
        [4, 0],
      ),
      body,
    ]);
    this.driver.memory.write(DATA, request);
    const room = options.room ?? REPLY_SIZE;
    return this.driver.request(queue, [
      { address: DATA, length: request.length },
      ...(room === 0 ? [] : [{ address: REPLY, length: room, write: true }]),
    ]);
  }

  ask(
    opcode: number,
    node: number | bigint,
    body: Uint8Array = new Uint8Array(0),
    options: { length?: number; room?: number } = {},
  ): { errno: number; payload: Buffer } {
    const done = this.send(REQUESTS, opcode, node, body, options);
    if (done === undefined) throw new Error('no answer');
    const reply = Buffer.from(this.driver.memory.live(REPLY, done.written));
    return { errno: Math.abs(reply.readInt32LE(4)), payload: reply.subarray(16) };
  }

  lookup(name: string, parent = 1): number {
    const { errno, payload } = this.ask(OP.LOOKUP, parent, text(name));
    if (errno !== 0) throw new Error(`lookup of ${name}: ${errno}`);
    return Number(payload.readBigUInt64LE(0));
  }

  open(node: number, flags = 2): number {
    const { errno, payload } = this.ask(OP.OPEN, node, words([4, flags], [4, 0]));
    if (errno !== 0) throw new Error(`open: ${errno}`);
    return Number(payload.readBigUInt64LE(0));
  }

  [Symbol.dispose](): void {
    this.driver[Symbol.dispose]();
    removeFolder(this.above);
  }
}

const LONG = 'x'.repeat(256);
/** every request that takes a name, with the name last */
const NAMED: [what: string, opcode: number, body: (name: string) => Buffer][] = [
  ['lookup', OP.LOOKUP, (name) => text(name)],
  ['mkdir', OP.MKDIR, (name) => Buffer.concat([words([4, 0o755], [4, 0]), text(name)])],
  ['mknod', OP.MKNOD, (name) => Buffer.concat([words([4, 0o100644], [4, 0], [4, 0], [4, 0]), text(name)])],
  ['create', OP.CREATE, (name) => Buffer.concat([words([4, 0o102], [4, 0o644], [4, 0], [4, 0]), text(name)])],
  ['symlink', OP.SYMLINK, (name) => text(name, '/etc/passwd')],
  ['unlink', OP.UNLINK, (name) => text(name)],
  ['rmdir', OP.RMDIR, (name) => text(name)],
  ['link', OP.LINK, (name) => Buffer.concat([words([8, 2]), text(name)])],
  ['rename from', OP.RENAME, (name) => Buffer.concat([words([8, 1]), text(name, 'new')])],
  ['rename to', OP.RENAME, (name) => Buffer.concat([words([8, 1]), text('file', name)])],
];
for (const [what, opcode, body] of NAMED)
  for (const [name, errno] of [
    ['..', ERRNO.EINVAL],
    ['.', ERRNO.EINVAL],
    ['', ERRNO.EINVAL],
    ['../secret', ERRNO.EINVAL],
    ['/etc/passwd', ERRNO.EINVAL],
    ['dir/..', ERRNO.EINVAL],
    [LONG, ERRNO.ENAMETOOLONG],
  ] as const)
    test(`${what} of "${name.slice(0, 12)}" is refused`, (t) => {
      const share = new Share(t);
      t.is(share.lookup('file'), 2);
      t.is(share.ask(opcode, 1, body(name)).errno, errno);
      t.deepEqual(readdirSync(share.above).sort(), ['secret', 'share']);
      t.deepEqual(readdirSync(share.folder).sort(), ['dir', 'escape', 'fifo', 'file', 'up']);
    });
for (const [what, opcode, body] of NAMED)
  test(`${what} with a name that never ends is refused`, (t) => {
    const whole = body('file');
    const share = new Share(t);
    share.lookup('file');
    t.is(share.ask(opcode, 1, whole.subarray(0, whole.length - (what === 'symlink' ? 13 : 1))).errno, ERRNO.EINVAL);
  });

test('a NUL in a name ends it', (t) => {
  const share = new Share(t);
  t.is(share.ask(OP.MKDIR, 1, Buffer.concat([words([4, 0o755], [4, 0]), Buffer.from('a\0/../b\0')])).errno, 0);
  t.true(lstatSync(join(share.folder, 'a')).isDirectory());
  t.deepEqual(readdirSync(share.above).sort(), ['secret', 'share']);
});

test('a link that leads out is a link: it is read and never followed, opened or changed', (t) => {
  const share = new Share(t);
  const node = share.lookup('escape');
  t.is(String(share.ask(OP.READLINK, node).payload), '../secret');
  t.is(share.ask(OP.OPEN, node, words([4, 2], [4, 0])).errno, ERRNO.EINVAL);
  t.is(share.ask(OP.LOOKUP, share.lookup('up'), text('secret')).errno, ERRNO.ENOTDIR);
  t.is(
    share.ask(OP.SETATTR, node, Buffer.concat([words([4, 8], [4, 0], [8, 0], [8, 0]), Buffer.alloc(64)])).errno,
    ERRNO.EINVAL,
    'truncate',
  );
  t.not(
    share.ask(OP.SETATTR, node, Buffer.concat([words([4, 1]), Buffer.alloc(64), words([4, 0o777]), Buffer.alloc(16)]))
      .errno,
    0,
    'chmod',
  );
  t.is(readFileSync(join(share.above, 'secret'), 'utf8'), 'secret');
});

test('pipes are never opened, device nodes never made', (t) => {
  const share = new Share(t);
  t.is(share.ask(OP.OPEN, share.lookup('fifo'), words([4, 0], [4, 0])).errno, ERRNO.EINVAL);
  for (const mode of [0o020666, 0o060666])
    t.is(
      share.ask(OP.MKNOD, 1, Buffer.concat([words([4, mode], [4, 0x103], [4, 0], [4, 0]), text('node')])).errno,
      ERRNO.EPERM,
    );
  for (const kind of [0o010000, 0o140000])
    t.is(
      share.ask(OP.MKNOD, 1, Buffer.concat([words([4, kind | 0o644], [4, 0], [4, 0], [4, 0]), text(`kind${kind}`)]))
        .errno,
      0,
    );
  t.false(existsSync(join(share.folder, 'node')));
});

for (const [what, node] of [
  ['never given', 999],
  ['zero', 0],
  ['huge', 2n ** 64n - 1n],
  ['beyond 2^53', 2n ** 53n + 1n],
] as const)
  test(`a node that was ${what} is nobody's`, (t) => {
    const share = new Share(t);
    for (const opcode of [OP.GETATTR, OP.OPENDIR, OP.READLINK, OP.STATFS, OP.LISTXATTR])
      t.is(share.ask(opcode, node, words([8, 0], [8, 0])).errno, ERRNO.ENOENT);
    t.is(share.ask(OP.LOOKUP, node, text('file')).errno, ERRNO.ENOENT);
  });

test("a node that was forgotten is nobody's; forgetting more than was given, the root, or strangers harms nothing", (t) => {
  const share = new Share(t);
  const node = share.lookup('file');
  share.lookup('file');
  const forget = (target: number, count: number | bigint) =>
    share.send(HIGH_PRIORITY, OP.FORGET, target, words([8, count]), { room: 0 });
  forget(node, 1);
  t.is(share.ask(OP.GETATTR, node, Buffer.alloc(16)).errno, 0);
  forget(node, 2n ** 63n);
  t.is(share.ask(OP.GETATTR, node, Buffer.alloc(16)).errno, ERRNO.ENOENT);
  for (let i = 0; i < 1000; i++) forget(1, 2n ** 64n - 1n);
  forget(12345, 1);
  t.is(share.ask(OP.GETATTR, 1, Buffer.alloc(16)).errno, 0);
  const again = share.lookup('file');
  // a batch that says it is longer than it is
  share.send(
    HIGH_PRIORITY,
    OP.BATCH_FORGET,
    0,
    Buffer.concat([words([4, 0xffff_ffff], [4, 0]), words([8, again], [8, 1])]),
    { room: 0 },
  );
  share.send(HIGH_PRIORITY, OP.BATCH_FORGET, 0, words([4, 5]), { room: 0 });
  t.is(share.ask(OP.GETATTR, again, Buffer.alloc(16)).errno, ERRNO.ENOENT);
  t.deepEqual(share.fs.figures, { inodes: 1, handles: 0, watches: 0 });
  t.false(share.driver.needsReset);
});

test('handles: unknown, closed, of the wrong kind, in the wrong order', (t) => {
  const share = new Share(t);
  const node = share.lookup('file');
  const read = (handle: number | bigint, size = 8) =>
    share.ask(OP.READ, node, words([8, handle], [8, 0], [4, size], [4, 0], [8, 0], [4, 0], [4, 0]));
  for (const handle of [0, 1, 99, 2n ** 64n - 1n]) t.is(read(handle).errno, ERRNO.EBADF);
  const handle = share.open(node);
  t.is(String(read(handle).payload), 'contents');
  t.is(share.ask(OP.RELEASE, node, words([8, handle], [4, 0], [4, 0], [8, 0])).errno, 0);
  t.is(read(handle).errno, ERRNO.EBADF);
  t.is(share.ask(OP.RELEASE, node, words([8, handle], [4, 0], [4, 0], [8, 0])).errno, ERRNO.EBADF);
  const folder = Number(share.ask(OP.OPENDIR, 1, words([4, 0], [4, 0])).payload.readBigUInt64LE(0));
  t.is(read(folder).errno, ERRNO.EISDIR);
  t.is(
    share.ask(OP.READDIR, 1, words([8, share.open(node)], [8, 0], [4, 4096], [4, 0], [8, 0], [4, 0], [4, 0])).errno,
    ERRNO.ENOTDIR,
  );
  t.is(share.ask(OP.OPENDIR, node, words([4, 0], [4, 0])).errno, ERRNO.EINVAL);
});

test('handles are bounded in number, and all let go at the end', (t) => {
  const share = new Share(t);
  const node = share.lookup('file');
  const { handles } = boundsFor(openFilesLimit());
  let opened = 0;
  for (; opened <= handles; opened++) if (share.ask(OP.OPEN, node, words([4, 0], [4, 0])).errno !== 0) break;
  t.is(opened, handles);
  t.is(share.ask(OP.OPEN, node, words([4, 0], [4, 0])).errno, ERRNO.ENFILE);
  t.is(share.ask(OP.DESTROY, 0).errno, 0);
  t.deepEqual(share.fs.figures, { inodes: 1, handles: 0, watches: 0 });
});

for (const [limit, inodes, handles] of [
  [1_048_576, 65_536, 16_384],
  [82_944, 65_536, 16_384],
  [20_000, 15_181, 3795],
  [4096, 2458, 614],
  [1024, 410, 102],
  [64, 26, 6],
] as const)
  test(`of ${limit} descriptors a guest gets ${inodes} inodes and ${handles} open files`, (t) => {
    const bounds = boundsFor(limit);
    t.deepEqual([bounds.inodes, bounds.handles], [inodes, handles]);
    // what the supervisor needs for its clients
    t.true(limit - inodes - handles >= Math.min(1024, limit / 2));
  });

test('inodes are bounded by what this process may open; the guest is asked to forget, and can go on when it has', (t) => {
  let asked = 0;
  const share = new Share(t, { descriptors: 1024, onCrowded: () => asked++ });
  const { inodes, crowded } = boundsFor(1024);
  for (let i = 0; i < inodes + 100; i++) writeFileSync(join(share.folder, `f${i}`), '');
  const nodes: number[] = [];
  let errno = 0;
  for (let i = 0; i < inodes + 100 && errno === 0; i++) {
    const answer = share.ask(OP.LOOKUP, 1, text(`f${i}`));
    errno = answer.errno;
    if (errno === 0) nodes.push(Number(answer.payload.readBigUInt64LE(0)));
    if (nodes.length === crowded - 1) t.is(asked, 0);
  }
  t.is(errno, ERRNO.ENFILE);
  t.is(share.fs.figures.inodes, inodes);
  t.true(asked > 1);
  const before = asked;
  for (let i = 0; i < 100; i++) t.is(share.ask(OP.LOOKUP, 1, text(`f${inodes + (i % 50)}`)).errno, ERRNO.ENFILE);
  t.true(asked > before, 'one that is full is told so again');
  for (const node of nodes) share.send(HIGH_PRIORITY, OP.FORGET, node, words([8, 1]), { room: 0 });
  t.is(share.fs.figures.inodes, 1);
  t.is(share.ask(OP.LOOKUP, 1, text('file')).errno, 0);
});

test('lengths: a write longer than its data, a read longer than its room, a request longer than itself, an answer without room', (t) => {
  const share = new Share(t);
  const node = share.lookup('file');
  const handle = share.open(node);
  const write = (size: number, data: Buffer) =>
    share.ask(
      OP.WRITE,
      node,
      Buffer.concat([words([8, handle], [8, 0], [4, size], [4, 0], [8, 0], [4, 0], [4, 0]), data]),
    ).errno;
  t.is(write(100, Buffer.from('short')), ERRNO.EINVAL);
  t.is(write(0xffff_ffff, Buffer.from('short')), ERRNO.EINVAL);
  t.is(write(4, Buffer.from('CONT')), 0);
  t.is(readFileSync(join(share.folder, 'file'), 'utf8'), 'CONTents');
  const short = share.ask(OP.READ, node, words([8, handle], [8, 0], [4, 0xffff_ffff], [4, 0], [8, 0], [4, 0], [4, 0]), {
    room: 16 + 3,
  });
  t.is(String(short.payload), 'CON');
  t.is(share.ask(OP.GETATTR, 1, Buffer.alloc(16), { room: 16 + 10 }).errno, ERRNO.ERANGE);
  t.is(share.ask(OP.GETXATTR, node, Buffer.concat([words([4, 0xffff_ffff], [4, 0]), text('user.none')])).errno, 61);
  t.is(
    share.ask(OP.SETXATTR, node, Buffer.concat([words([4, 1000], [4, 0]), text('user.x'), Buffer.from('short')])).errno,
    ERRNO.EINVAL,
  );
  for (const opcode of Object.values(OP).filter(
    (one) =>
      ![OP.DESTROY, OP.FORGET, OP.BATCH_FORGET, OP.INTERRUPT, OP.READLINK, OP.STATFS, OP.GETATTR].includes(
        one as never,
      ),
  ))
    t.true(share.ask(opcode, node, Buffer.alloc(3)).errno > 0, `opcode ${opcode} cut short`);
  share.send(REQUESTS, OP.GETATTR, 1, Buffer.alloc(16), { length: 4096 });
  t.true(share.driver.needsReset, 'a header that says more than was sent');
});

test('a request without room for an answer breaks the device, which an honest driver gets going again', (t) => {
  const share = new Share(t);
  share.send(REQUESTS, OP.GETATTR, 1, Buffer.alloc(16), { room: 8 });
  t.true(share.driver.needsReset);
  share.driver.start();
  t.is(share.ask(OP.INIT, 0, words([4, 7], [4, 31], [4, 65536], [4, 0])).errno, 0);
  t.is(share.ask(OP.GETATTR, 1, Buffer.alloc(16)).errno, 0);
});

test('order: before INIT, after DESTROY, INIT again', (t) => {
  const share = new Share(t, { uninitialised: true });
  t.is(share.lookup('file'), 2);
  t.is(share.ask(OP.INIT, 0, words([4, 6], [4, 0], [4, 0], [4, 0])).errno, ERRNO.EPROTO);
  t.is(share.ask(OP.INIT, 0, words([4, 7], [4, 31], [4, 0], [4, 0])).errno, 0);
  t.is(share.ask(OP.GETATTR, 2, Buffer.alloc(16)).errno, ERRNO.ENOENT);
  share.ask(OP.DESTROY, 0);
  t.is(share.ask(OP.GETATTR, 1, Buffer.alloc(16)).errno, 0);
});

test('requests nobody knows', (t) => {
  const share = new Share(t);
  for (const opcode of [0, 7, 19, 31, 32, 33, 37, 39, 40, 41, 47, 4096, 0xffff_ffff])
    t.is(share.ask(opcode, 1, Buffer.alloc(64)).errno, ERRNO.ENOSYS, String(opcode));
});

test('numbers a guest makes up: offsets, flags, modes, times', (t) => {
  const share = new Share(t);
  const node = share.lookup('file');
  const handle = share.open(node);
  t.true(
    share.ask(OP.READ, node, words([8, handle], [8, 2n ** 63n], [4, 8], [4, 0], [8, 0], [4, 0], [4, 0])).errno > 0,
  );
  t.true(share.ask(OP.LSEEK, node, words([8, handle], [8, 0], [4, 0], [4, 0])).errno === ERRNO.EINVAL);
  t.is(share.ask(OP.FALLOCATE, node, words([8, handle], [8, 0], [8, 10], [4, 0x40], [4, 0])).errno, ERRNO.EINVAL);
  t.is(
    share.ask(OP.RENAME2, 1, Buffer.concat([words([8, 1], [4, 0xff], [4, 0]), text('file', 'new')])).errno,
    ERRNO.EINVAL,
  );
  // O_PATH, O_DIRECT, O_TMPFILE and what else has a bit are dropped
  const odd = share.ask(OP.OPEN, node, words([4, 0xffff_fffc & ~0o1000], [4, 0]));
  t.is(odd.errno, 0);
  const folder = Number(share.ask(OP.OPENDIR, 1, words([4, 0], [4, 0])).payload.readBigUInt64LE(0));
  for (const offset of [2n ** 63n - 1n, 2n ** 64n - 1n, 12345n]) {
    const { errno } = share.ask(
      OP.READDIR,
      1,
      words([8, folder], [8, offset], [4, 4096], [4, 0], [8, 0], [4, 0], [4, 0]),
    );
    t.true(errno === 0 || errno === ERRNO.EINVAL, String(errno));
  }
  t.false(share.driver.needsReset);
});

const WRITES: [what: string, opcode: number, body: Buffer][] = [
  ['mkdir', OP.MKDIR, NAMED[1]![2]('new')],
  ['mknod', OP.MKNOD, NAMED[2]![2]('new')],
  ['create', OP.CREATE, NAMED[3]![2]('new')],
  ['a file without a name', OP.TMPFILE, Buffer.concat([words([4, 2], [4, 0o600], [4, 0], [4, 0]), text('/')])],
  ['symlink', OP.SYMLINK, text('new', 'x')],
  ['unlink', OP.UNLINK, text('file')],
  ['rmdir', OP.RMDIR, text('dir')],
  ['rename', OP.RENAME, Buffer.concat([words([8, 1]), text('file', 'new')])],
  ['link', OP.LINK, Buffer.concat([words([8, 1]), text('new')])],
  ['chmod', OP.SETATTR, Buffer.concat([words([4, 1]), Buffer.alloc(84)])],
  ['set an attribute', OP.SETXATTR, Buffer.concat([words([4, 1], [4, 0]), text('user.x', 'y')])],
  ['open to write', OP.OPEN, words([4, 1], [4, 0])],
  ['open to truncate', OP.OPEN, words([4, 0o1000], [4, 0])],
];
for (const [what, opcode, body] of WRITES)
  test(`a read-only share refuses: ${what}`, (t) => {
    const share = new Share(t, { readOnly: true });
    t.is(share.ask(opcode, opcode === OP.OPEN ? share.lookup('file') : 1, body).errno, ERRNO.EROFS);
    t.deepEqual(readdirSync(share.folder).sort(), ['dir', 'escape', 'fifo', 'file', 'up']);
  });

test('a read-only share refuses writes by a handle that was open to read', (t) => {
  const share = new Share(t, { readOnly: true });
  const node = share.lookup('file');
  const handle = share.open(node, 0);
  t.true(
    [ERRNO.EROFS, ERRNO.EBADF].includes(
      share.ask(
        OP.WRITE,
        node,
        Buffer.concat([words([8, handle], [8, 0], [4, 1], [4, 0], [8, 0], [4, 0], [4, 0]), Buffer.from('x')]),
      ).errno as 30,
    ),
  );
});

test('a file without a name is written, read, and given one', (t) => {
  const share = new Share(t);
  const { errno, payload } = share.ask(
    OP.TMPFILE,
    1,
    Buffer.concat([words([4, 2], [4, 0o640], [4, 0], [4, 0]), text('/')]),
  );
  t.is(errno, 0);
  const node = Number(payload.readBigUInt64LE(0));
  const handle = Number(payload.readBigUInt64LE(ENTRY_OUT));
  t.is(
    share.ask(
      OP.WRITE,
      node,
      Buffer.concat([words([8, handle], [8, 0], [4, 4], [4, 0], [8, 0], [4, 0], [4, 0]), Buffer.from('late')]),
    ).errno,
    0,
  );
  t.is(readdirSync(share.folder).length, 5);
  t.is(share.ask(OP.LINK, 1, Buffer.concat([words([8, node]), text('named')])).errno, 0);
  t.is(readFileSync(join(share.folder, 'named'), 'utf8'), 'late');
  t.is(lstatSync(join(share.folder, 'named')).mode & 0o777, 0o640);
});

test("a folder that vanishes on the host, or whose name is another's, is not found any more and not looked for elsewhere", (t) => {
  const share = new Share(t);
  const dir = share.lookup('dir');
  renameSync(join(share.folder, 'dir'), join(share.above, 'moved'));
  mkdirSync(join(share.folder, 'dir'));
  writeFileSync(join(share.above, 'moved/of-moved'), '');
  // the node is the folder it was; there is no way up from it
  t.is(share.ask(OP.LOOKUP, dir, text('of-moved')).errno, 0);
  t.is(share.ask(OP.LOOKUP, dir, text('..')).errno, ERRNO.EINVAL);
  rmSync(share.folder, { recursive: true });
  t.is(share.ask(OP.LOOKUP, 1, text('file')).errno, ERRNO.ENOENT);
  t.is(share.ask(OP.MKDIR, 1, NAMED[1]![2]('new')).errno, ERRNO.ENOENT);
  t.is(share.ask(OP.GETATTR, 1, Buffer.alloc(16)).errno, 0);
  t.is(share.ask(OP.STATFS, 1).errno, 0);
  t.false(share.driver.needsReset);
});

test('a folder the host closed to us is refused, as the host says', (t) => {
  if (process.getuid!() === 0) return t.pass('root is let in everywhere');
  const share = new Share(t);
  chmodSync(join(share.folder, 'dir'), 0);
  t.is(share.ask(OP.OPENDIR, share.lookup('dir'), words([4, 0], [4, 0])).errno, 13);
});
