/**
 * EROFS metadata, judged by Linux: mounted from a loop device and compared with what GNU tar and overlayfs make of the
 * same layers.
 */
import { execFileSync, spawnSync } from 'node:child_process';
import {
  mkdirSync,
  mkdtempSync,
  openSync,
  readFileSync,
  rmSync,
  truncateSync,
  writeFileSync,
  writeSync,
  closeSync,
  statSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import type { Layer } from '../../../src/images/store/contract.ts';
import { crc32c } from '../../../src/images/erofs/format.ts';
import { rootDisk } from '../../../src/images/erofs/root-disk.ts';
import { writeErofs } from '../../../src/images/erofs/writer.ts';
import { HuskError } from '../../../src/errors.ts';
import { LayerTree } from '../../../src/images/layers/tree.ts';
import { TarParser } from '../../../src/tar/parser.ts';
import { debianTar } from '../../fixtures/images.ts';
import { member, pax, type RawMember, tarball } from '../../fixtures/tar.ts';

const probe = spawnSync('losetup', ['-f'], { encoding: 'utf8' });
const CANNOT =
  process.getuid!() !== 0
    ? 'only root mounts EROFS'
    : !/^\s*erofs$|\terofs/m.test(readFileSync('/proc/filesystems', 'utf8'))
      ? 'this kernel has no EROFS'
      : probe.status !== 0
        ? 'no loop devices'
        : undefined;
/** shows as skipped, with the reason in its name */
function onKernel(name: string, body: (t: ExecutionContext) => Promise<void>): void {
  if (CANNOT === undefined) test(name, body);
  else test.skip(`${name} (${CANNOT})`, body);
}

class Disk implements Disposable {
  readonly root = mkdtempSync(join(tmpdir(), 'husk-erofs-'));
  readonly mount = join(this.root, 'mount');
  readonly metadata: Buffer;
  #mounted = false;

  constructor(metadata: Buffer) {
    this.metadata = metadata;
  }

  static async of(tars: (Buffer | string)[]): Promise<Disk> {
    const store = mkdtempSync(join(tmpdir(), 'husk-erofs-layers-'));
    const layers = tars.map((tar, index): Layer => {
      const folder = join(store, String(index));
      mkdirSync(folder);
      const path = join(folder, 'layer.tar');
      if (Buffer.isBuffer(tar)) writeFileSync(path, tar);
      else execFileSync('cp', ['--sparse=auto', tar, path]);
      return { diffId: `sha256:${String(index).padStart(64, '0')}`, tar: path, size: statSync(path).size };
    });
    const extents = await rootDisk(layers, { tmp: join(store, 'tmp') });
    const disk = new Disk(readFileSync(extents[0]!.path));
    const file = join(disk.root, 'disk');
    // One layer: its holes stay holes, which for a file of 5 GiB is worth it.
    const [first, second] = extents;
    const inserted = extents.length === 2 && insertBefore(first!, second!.path, file);
    let at = inserted ? first!.length + second!.length : 0;
    for (const { path, length } of inserted ? [] : extents) {
      execFileSync('dd', [
        'status=none',
        'bs=1M',
        `if=${path}`,
        `of=${file}`,
        `seek=${at}`,
        'oflag=seek_bytes',
        'iflag=count_bytes',
        `count=${length}`,
        'conv=sparse,notrunc',
      ]);
      at += length;
    }
    truncateSync(file, at);
    rmSync(store, { recursive: true });
    return disk;
  }

  mounted(): string {
    mkdirSync(this.mount);
    execFileSync('mount', ['-t', 'erofs', '-o', 'loop,ro', join(this.root, 'disk'), this.mount]);
    this.#mounted = true;
    return this.mount;
  }

  [Symbol.dispose]() {
    if (this.#mounted) execFileSync('umount', [this.mount]);
    rmSync(this.root, { recursive: true, force: true });
  }
}

/** Copies the tar and shifts it behind the metadata; not every file system can. */
function insertBefore({ path, length }: { path: string; length: number }, tar: string, file: string): boolean {
  execFileSync('cp', ['--sparse=auto', tar, file]);
  if (spawnSync('fallocate', ['--insert-range', '--offset', '0', '--length', String(length), file]).status !== 0) {
    rmSync(file);
    return false;
  }
  execFileSync('dd', ['status=none', `if=${path}`, `of=${file}`, 'conv=notrunc']);
  return true;
}

/** Everything a program can see of a tree, but the sizes of folders. */
function listing(folder: string): string[] {
  const script = `find . -printf '%P|%y|%m|%U:%G|%T@|%n|%l\\n'; find . -type f -size -64M -exec sha256sum {} +; find . -type f -printf '%P %s\\n'; find . \\( -type c -o -type b \\) -exec stat -c '%n %t:%T' {} +; getfattr -R -h -d -m - . 2>/dev/null`;
  return execFileSync('sh', ['-c', script], { cwd: folder, encoding: 'latin1', maxBuffer: 1 << 28 })
    .split('\n')
    .sort();
}

/** Both listings' lines that the other has not: a few, not thousands. */
function same(t: ExecutionContext, ours: string[], theirs: string[]): void {
  const [a, b] = [new Set(ours), new Set(theirs)];
  t.deepEqual(
    {
      extra: ours.filter((line) => !b.has(line)).slice(0, 5),
      missing: theirs.filter((line) => !a.has(line)).slice(0, 5),
    },
    { extra: [], missing: [] },
  );
  t.is(ours.length, theirs.length);
}

/** what the other side makes of the tars: GNU tar, one over the other */
function reference(t: ExecutionContext, ...tars: (Buffer | string)[]): string {
  const folder = mkdtempSync(join(tmpdir(), 'husk-erofs-reference-'));
  t.teardown(() => rmSync(folder, { recursive: true, force: true }));
  for (const tar of tars)
    execFileSync('tar', ['--xattrs', '--xattrs-include=*', '--numeric-owner', '-xp', '-C', folder], {
      input: Buffer.isBuffer(tar) ? tar : readFileSync(tar),
      maxBuffer: 1 << 28,
    });
  return folder;
}

const capability = Buffer.from('0100000200200000000000000000000000000000', 'hex').toString('latin1');
const ROOT_FOLDER: RawMember = { name: './', type: '5', mode: 0o755, mtime: 1 };
const ODD = tarball(
  ROOT_FOLDER,
  { name: 'dir/', type: '5', mode: 0o2770, uid: 1000, gid: 50, mtime: 1_500_000_000 },
  { name: 'dir/setuid', mode: 0o6755, uid: 33, gid: 33, mtime: 4_000_000_000, body: 'suid' },
  { name: 'hard', type: '1', link: 'dir/setuid' },
  { name: 'link', type: '2', link: 'dir/setuid', uid: 7, mtime: 5 },
  { name: 'link-hard', type: '1', link: 'link' },
  pax([['linkpath', 'l'.repeat(447)]]),
  { name: 'link447', type: '2', link: 'x' },
  pax([['linkpath', 'l'.repeat(511)]]),
  { name: 'link511', type: '2', link: 'x' },
  pax([['linkpath', 'l'.repeat(512)]]),
  { name: 'link512', type: '2', link: 'x' },
  pax([['linkpath', 'l/'.repeat(2000)]]),
  { name: 'link4000', type: '2', link: 'x' },
  { name: 'char', type: '3', major: 5, minor: 0x12345, mode: 0o622 },
  { name: 'block', type: '4', major: 259, minor: 3 },
  { name: 'fifo', type: '6', mode: 0o600, uid: 100_000 },
  pax([
    ['mtime', '-1.25'],
    ['uid', '4000000000'],
    ['SCHILY.xattr.user.test', 'a\0b'],
  ]),
  { name: 'precise', body: 'x' },
  pax([
    ['SCHILY.xattr.security.capability', capability],
    ['SCHILY.xattr.user.shared', 'v'.repeat(100)],
  ]),
  { name: 'ping', mode: 0o755, body: 'elf' },
  pax([
    ['SCHILY.xattr.user.shared', 'v'.repeat(100)],
    ['SCHILY.xattr.user.own', '1'],
  ]),
  { name: 'shares/', type: '5', mode: 0o755 },
  pax([['SCHILY.xattr.user.large', 'w'.repeat(3000)]]),
  { name: 'large-xattr', type: '5', mode: 0o755 },
  { name: 'caf\xe9\xff\x01', body: 'latin' },
  { name: '-before-dot', body: '1' },
  { name: '!', body: '2' },
  { name: '..x', body: '3' },
  { name: '.x', body: '4' },
  { name: 'empty' },
  ...[511, 512, 513, 4095, 4096, 4097, 100_000].map((size): RawMember => ({
    name: `size${size}`,
    body: Buffer.alloc(size, 'abc'),
  })),
  pax([
    ['GNU.sparse.major', '1'],
    ['GNU.sparse.minor', '0'],
    ['GNU.sparse.name', 'sparse'],
    ['GNU.sparse.realsize', '10485760'],
  ]),
  { name: 's', body: `${'2\n4096\n512\n10485248\n512\n'.padEnd(512, '\0')}${'abcdefgh'.repeat(128)}` },
  pax([
    ['GNU.sparse.major', '1'],
    ['GNU.sparse.minor', '0'],
    ['GNU.sparse.name', 'pages'],
    ['GNU.sparse.realsize', '40960'],
  ]),
  { name: 's', body: `${'2\n4096\n4096\n32768\n8192\n'.padEnd(512, '\0')}${'12345678'.repeat(1536)}` },
  pax([
    ['GNU.sparse.major', '1'],
    ['GNU.sparse.minor', '0'],
    ['GNU.sparse.name', 'hole'],
    ['GNU.sparse.realsize', '5000'],
  ]),
  { name: 's', body: '1\n5000\n0\n'.padEnd(512, '\0') },
);

onKernel('every kind of inode is what GNU tar makes of it', async (t) => {
  using disk = await Disk.of([ODD]);
  same(t, listing(disk.mounted()), listing(reference(t, ODD)));
  t.true(disk.metadata.length < 64 << 10, `${disk.metadata.length} bytes of metadata`);
});

onKernel('a Debian tree is what GNU tar makes of it', async (t) => {
  using disk = await Disk.of([debianTar()]);
  const list = listing(disk.mounted());
  t.true(list.length > 20_000);
  same(t, list, listing(reference(t, debianTar())));
});

onKernel('large folders are found name by name', async (t) => {
  const names = Array.from(
    { length: 20_000 },
    (_, index) => `${String((index * 7919) % 20_000)}${'n'.repeat(index % 90)}`,
  );
  using disk = await Disk.of([
    tarball(
      ROOT_FOLDER,
      { name: 'd/', type: '5' },
      ...names.map((name): RawMember => ({ name: `d/${name}` })),
      ...names.slice(0, 300).map((_, index): RawMember => ({ name: `sub${index}/`, type: '5' })),
    ),
  ]);
  const folder = disk.mounted();
  const found = execFileSync('find', ['d', '-mindepth', '1', '-printf', '%f\n'], {
    cwd: folder,
    encoding: 'latin1',
    maxBuffer: 1 << 26,
  })
    .trim()
    .split('\n');
  t.deepEqual(found.sort(), [...names].sort());
  const lookups = spawnSync('xargs', ['-0', 'stat', '-c', '%n'], {
    cwd: join(folder, 'd'),
    input: names.join('\0'),
    encoding: 'latin1',
    maxBuffer: 1 << 26,
  });
  t.is(lookups.status, 0);
  t.is(execFileSync('stat', ['-c', '%h', folder], { encoding: 'utf8' }).trim(), '303');
});

onKernel('whiteouts, opaque folders and replaced names over three layers', async (t) => {
  const folder = (name: string, mode = 0o755): RawMember => ({ name: `${name}/`, type: '5', mode, mtime: 5 });
  const layers = [
    tarball(
      ROOT_FOLDER,
      folder('a'),
      { name: 'a/gone', body: '1' },
      { name: 'a/stays', body: '1' },
      folder('b'),
      { name: 'b/old', body: '1' },
      { name: 'f', body: '1' },
      folder('g', 0o711),
      { name: 'g/h', body: '1' },
      { name: 'l1', body: 'linked' },
      { name: 'l2', type: '1', link: 'l1' },
      { name: 'l3', type: '1', link: 'l1' },
      { name: 'dangling', type: '2', link: 'a' },
    ),
    tarball(
      { name: 'a/.wh.gone' },
      folder('b', 0o700),
      { name: 'b/.wh..wh..opq' },
      { name: 'b/new', body: '2' },
      folder('f'),
      { name: 'f/file', body: '2' },
      { name: '.wh.g' },
      { name: '.wh.l1' },
      { name: '.wh.not-there' },
    ),
    tarball({ name: 'a/gone', body: '3' }, { name: 'l3', body: '3' }, folder('dangling'), folder('g'), {
      name: 'g/again',
      body: '3',
    }),
  ];
  using disk = await Disk.of(layers);
  const wanted = tarball(
    ROOT_FOLDER,
    folder('a'),
    { name: 'a/stays', body: '1' },
    { name: 'a/gone', body: '3' },
    folder('b', 0o700),
    { name: 'b/new', body: '2' },
    folder('f'),
    { name: 'f/file', body: '2' },
    { name: 'l2', body: 'linked' },
    { name: 'l3', body: '3' },
    folder('dangling'),
    folder('g'),
    { name: 'g/again', body: '3' },
  );
  same(t, listing(disk.mounted()), listing(reference(t, wanted)));
});

onKernel('a folder that a layer only implies keeps its attributes', async (t) => {
  using disk = await Disk.of([
    tarball({ name: 'tmp/', type: '5', mode: 0o1777, uid: 5 }),
    tarball({ name: 'tmp/x/y' }),
  ]);
  const stat = (name: string) =>
    execFileSync('stat', ['-c', '%a %u', name], { cwd: disk.mount, encoding: 'utf8' }).trim();
  disk.mounted();
  t.is(stat('tmp'), '1777 5');
  t.is(stat('tmp/x'), '755 0');
});

onKernel('attributes that steer overlayfs are left out', async (t) => {
  using disk = await Disk.of([
    tarball(
      pax([
        ['SCHILY.xattr.trusted.overlay.redirect', '/x'],
        ['SCHILY.xattr.user.overlay.opaque', 'y'],
        ['SCHILY.xattr.trusted.mine', 'z'],
      ]),
      { name: 'd/', type: '5' },
    ),
  ]);
  t.is(
    execFileSync('getfattr', ['-m', '-', 'd'], { cwd: disk.mounted(), encoding: 'utf8' }),
    '# file: d\ntrusted.mine\n\n',
  );
});

onKernel('files above 4 GiB, and a tar that ends in the middle of a block', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'husk-erofs-huge-'));
  t.teardown(() => rmSync(folder, { recursive: true }));
  const path = join(folder, 'huge.tar');
  const size = 5 * 2 ** 30 + 5;
  const fd = openSync(path, 'w');
  writeSync(fd, member({ name: 'huge', size }));
  writeSync(fd, 'start', 512);
  writeSync(fd, 'end!!', 512 + size - 5);
  const next = 512 + Math.ceil(size / 512) * 512;
  writeSync(fd, member({ name: 'last', body: 'z'.repeat(700) }).subarray(0, 512 + 700), 0, 1212, next);
  closeSync(fd);
  using disk = await Disk.of([path]);
  const read = (command: string) => execFileSync('sh', ['-c', command], { cwd: disk.mount, encoding: 'latin1' });
  disk.mounted();
  t.is(read('stat -c %s huge').trim(), String(size));
  t.is(read('head -c 5 huge; tail -c 5 huge'), 'startend!!');
  t.is(read('cat last'), 'z'.repeat(700));
});

test('mutated layers give a disk or one HuskError, never anything else', (t) => {
  let state = 99;
  const random = (below: number) => (state = (state * 1103515245 + 12345) & 0x7fffffff) % below;
  let disks = 0;
  for (let round = 0; round < 1500; round++) {
    const mutant = Buffer.from(ODD);
    for (let changes = 1 + random(4); changes > 0; changes--) {
      const at = random(mutant.length);
      const header = at - (at % 512);
      mutant[at] = random(4) === 0 ? random(256) : '0123456789 \n=,./'.charCodeAt(random(16));
      mutant.fill(' ', header + 148, header + 156);
      mutant.write(
        `${mutant
          .subarray(header, header + 512)
          .reduce((sum, byte) => sum + byte, 0)
          .toString(8)
          .padStart(6, '0')}\0 `,
        header + 148,
        'latin1',
      );
    }
    const tree = new LayerTree();
    const parser = new TarParser((entry) => tree.add(entry));
    try {
      parser.push(mutant);
      parser.end();
      writeErofs(
        [{ tree, size: mutant.length, read: (offset, length) => Buffer.alloc(length, mutant.subarray(offset)) }],
        Buffer.alloc(16),
      );
      disks++;
    } catch (error) {
      if (!(error instanceof HuskError)) throw error;
    }
  }
  t.true(disks > 100, `${disks} disks`);
});

test('the same layers give the same bytes', async (t) => {
  const layers = [ODD, tarball({ name: '.wh.hard' }, { name: 'new/x', body: 'y' })];
  using first = await Disk.of(layers);
  using second = await Disk.of(layers);
  t.true(first.metadata.equals(second.metadata));
});

test('no layers, and a layer of nothing, are an empty root', async (t) => {
  using disk = await Disk.of([Buffer.alloc(1024)]);
  t.is(disk.metadata.length, 4096);
  t.is(disk.metadata.readUInt32LE(1024), 0xe0f5e1e2);
});

test('a layer that occurs twice is on the disk once, and no layers are a disk of an empty folder', async (t) => {
  const store = mkdtempSync(join(tmpdir(), 'husk-erofs-layers-'));
  t.teardown(() => rmSync(store, { recursive: true }));
  const layer = (name: string): Layer => {
    mkdirSync(join(store, name));
    const tar = join(store, name, 'layer.tar');
    writeFileSync(tar, tarball({ name, body: name }));
    return { diffId: `sha256:${name.repeat(64)}`, tar, size: statSync(tar).size };
  };
  const [a, b] = [layer('a'), layer('b')];
  const paths = { tmp: join(store, 'tmp') };
  const twice = await rootDisk([a, b, a], paths);
  t.deepEqual(twice, await rootDisk([b, a], paths));
  t.is(twice.length, 3);
  t.deepEqual(
    (await rootDisk([], paths)).map(({ length }) => length),
    [4096],
  );
});

test('crc32c is the kernel’s', (t) => {
  // RFC 3720 §B.4, before the final inversion
  t.is((crc32c(Buffer.from('123456789')) ^ 0xffffffff) >>> 0, 0xe3069283);
  t.is((crc32c(Buffer.alloc(32)) ^ 0xffffffff) >>> 0, 0x8a9136aa);
});
