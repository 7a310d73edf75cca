/**
 * What a guest syncs is on the host's disk: of a shared folder's file by FSYNC or an open with O_SYNC or O_DSYNC, of a
 * disk by FLUSH. Judged by the pages that the host's kernel still has to write, cachestat(2) of Linux 6.5.
 */
import { closeSync, mkdtempSync, openSync, rmSync, writeSync } from 'node:fs';
import { pbkdf2 } from 'node:crypto';
import { release } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import test from 'ava';
import { libraryFunction } from '../../../src/host/libc.ts';
import { sameOwners } from '../../../src/vmm/devices/fs/share/attributes.ts';
import { ENTRY_OUT, OP } from '../../../src/vmm/devices/fs/share/fuse.ts';
import { Server } from '../../../src/vmm/devices/fs/server.ts';
import { Backing } from '../../../src/vmm/devices/block/backing.ts';

/** asm/unistd_64.h */
const SYS_CACHESTAT = 451;
/** asm-generic/fcntl.h */
const O_RDWR = 2;
const O_DSYNC = 0o10000;
const O_SYNC = 0o4010000;
const FSYNC_DATA_ONLY = 1;
const ROOT_NODE = 1;
const TRIES = 1000;
const c_cachestat = libraryFunction<
  (number: number, fd: number, range: Uint8Array, stat: Uint8Array, flags: number) => number
>('long syscall(long number, int fd, const uint8_t *range, uint8_t *stat, int flags)');

/** struct cachestat: nr_cache, nr_dirty, nr_writeback … */
function unwritten(path: string): number {
  const fd = openSync(path, 'r');
  const stat = new Uint8Array(40);
  const result = c_cachestat(SYS_CACHESTAT, fd, new Uint8Array(16), stat, 0);
  closeSync(fd);
  if (result < 0) return -1;
  const view = new DataView(stat.buffer);
  return Number(view.getBigUint64(8, true) + view.getBigUint64(16, true));
}

const folder = mkdtempSync('/var/tmp/husk-sync-');
const PAGE = Buffer.alloc(65_536, 'x');
test.after.always(() => rmSync(folder, { recursive: true, force: true }));

/**
 * Writes until the kernel has something left to write: on a busy machine it may be done before it is asked. @returns is
 * there
 */
function leaveUnwritten(fd: number, path: string): boolean {
  for (let tries = 0; tries < TRIES; tries++) {
    writeSync(fd, PAGE);
    if (unwritten(path) > 0) return true;
  }
  return false;
}

/** a file system that never writes (tmpfs), or a kernel that does not tell, proves nothing */
const telling = (() => {
  const fd = openSync(join(folder, 'try'), 'w');
  const found = leaveUnwritten(fd, join(folder, 'try'));
  closeSync(fd);
  return found;
})();
const onDisk = telling ? test : test.skip;
const skipped = telling ? '' : ` — needs Linux 6.5 (this is ${release()}) and a disk under /var/tmp`;

const server = new Server({ path: folder, readOnly: false, ownership: sameOwners });
const request = (opcode: number, body: Uint8Array) =>
  ({
    opcode,
    node: ROOT_NODE,
    body,
    uid: process.getuid!(),
    gid: process.getgid!(),
    unique: new Uint8Array(8),
    length: 40 + body.length,
  }) as Parameters<Server['handle']>[0];

/** struct fuse_create_in and a name. @returns the handle */
function create(name: string, flags: number): number {
  const body = Buffer.alloc(16 + name.length + 1);
  body.writeUInt32LE(flags, 0);
  body.writeUInt32LE(0o644, 4);
  body.write(name, 16);
  const reply = server.handle(request(OP.CREATE, body), 4096) as Uint8Array;
  return Number(new DataView(reply.buffer, reply.byteOffset).getBigUint64(ENTRY_OUT, true));
}

function sync(handle: number, flags: number): Promise<Uint8Array> {
  const body = Buffer.alloc(16);
  body.writeBigUInt64LE(BigInt(handle), 0);
  body.writeUInt32LE(flags, 8);
  return server.handle(request(OP.FSYNC, body), 4096) as Promise<Uint8Array>;
}

for (const [name, flags] of [
  ['fsync', 0],
  ['fdatasync', FSYNC_DATA_ONLY],
] as const)
  onDisk(`a shared folder: ${name} of the guest has written everything${skipped}`, async (t) => {
    const handle = create(name, O_RDWR);
    t.true(leaveUnwritten(server.handles.get(handle), join(folder, name)));
    await sync(handle, flags);
    t.is(unwritten(join(folder, name)), 0);
  });

for (const [name, flags] of [
  ['O_SYNC', O_SYNC],
  ['O_DSYNC', O_DSYNC],
] as const)
  onDisk(`a shared folder: a write to a file opened with ${name} is on the disk when it is answered${skipped}`, (t) => {
    const handle = create(name, O_RDWR | flags);
    writeSync(server.handles.get(handle), PAGE);
    t.is(unwritten(join(folder, name)), 0);
  });

onDisk(`a shared folder: sync(2) of the guest has written everything${skipped}`, async (t) => {
  const handle = create('all', O_RDWR);
  t.true(leaveUnwritten(server.handles.get(handle), join(folder, 'all')));
  await server.handle(request(OP.SYNCFS, new Uint8Array(8)), 4096);
  t.is(unwritten(join(folder, 'all')), 0);
});

test('a guest that asks for many syncs at once gets one more, for all of them', async (t) => {
  using own = new Server({ path: folder, readOnly: false, ownership: sameOwners });
  const [running, next, another] = [1, 2, 3].map(() => own.handle(request(OP.SYNCFS, new Uint8Array(8)), 4096));
  t.not(running, next);
  t.is(next, another);
  await Promise.all([running, next]);
});

/** Keeps every thread of libuv's pool at work: four, unless UV_THREADPOOL_SIZE says otherwise. */
const occupyPool = () =>
  Promise.all(
    Array.from({ length: Number(process.env['UV_THREADPOOL_SIZE'] ?? 4) }, () =>
      promisify(pbkdf2)('', '', 300_000, 64, 'sha512'),
    ),
  );

test('a handle that the guest releases while its fsync waits for a thread is synced all the same, and no other file', async (t) => {
  const handle = create('released', O_RDWR);
  const busy = occupyPool();
  const synced = sync(handle, 0);
  const released = Buffer.alloc(24);
  released.writeBigUInt64LE(BigInt(handle), 0);
  server.handle(request(OP.RELEASE, released), 4096);
  await t.notThrowsAsync(synced);
  await busy;
});

test('file systems that the guest forgets while others are synced are synced all the same, and no other file', async (t) => {
  // three file systems that every Linux has
  using all = new Server({ path: '/', readOnly: true, ownership: sameOwners });
  const nodes = ['proc', 'dev', 'sys'].map((name) =>
    (all.handle(request(OP.LOOKUP, Buffer.from(`${name}\0`)), 4096) as Uint8Array).slice(0, 8),
  );
  const synced = all.handle(request(OP.SYNCFS, new Uint8Array(8)), 4096);
  for (const node of nodes)
    all.forget({
      ...request(OP.FORGET, Buffer.from(BigUint64Array.of(1n).buffer)),
      node: Number(Buffer.from(node).readBigUInt64LE(0)),
    });
  t.is(all.figures.inodes, 1);
  await t.notThrowsAsync(Promise.resolve(synced));
});

onDisk(`a writable disk: a flush has written everything${skipped}`, async (t) => {
  const path = join(folder, 'disk');
  const fd = openSync(path, 'w');
  writeSync(fd, PAGE);
  using disk = Backing.file(path, { readOnly: false });
  t.true(leaveUnwritten(fd, path));
  await disk.flush();
  closeSync(fd);
  t.is(unwritten(path), 0);
});
