/** Headers husk writes, read back by our own parser and by GNU tar. */
import { execFileSync } from 'node:child_process';
import { randomBytes, randomInt } from 'node:crypto';
import test from 'ava';
import { fromText } from '../../src/tar/byte-string.ts';
import type { TarEntry } from '../../src/tar/entry.ts';
import { TarParser } from '../../src/tar/parser.ts';
import { type NewMember, TAR_END, tarHeader } from '../../src/tar/write.ts';

/** headers only: the contents are never pushed */
function readBack(...members: NewMember[]): TarEntry[] {
  const entries: TarEntry[] = [];
  const parser = new TarParser((entry) => entries.push(entry));
  for (const made of members) {
    parser.push(tarHeader(made));
    parser.skip(parser.skippable);
  }
  parser.push(TAR_END);
  parser.end();
  return entries;
}

function same(t: { deepEqual: (actual: unknown, expected: unknown) => void }, made: NewMember): void {
  const [entry] = readBack(made);
  const { path, ...rest } = made;
  const { type, linkname, mode, uid, gid, size, mtime, mtimeNanoseconds, deviceMajor, deviceMinor, xattrs } = entry!;
  const empty = {
    linkname: '',
    mode: 0o644,
    uid: 0,
    gid: 0,
    size: 0,
    mtime: 0,
    mtimeNanoseconds: 0,
    deviceMajor: 0,
    deviceMinor: 0,
    xattrs: undefined,
  };
  t.deepEqual({ type, linkname, mode, uid, gid, size, mtime, mtimeNanoseconds, deviceMajor, deviceMinor, xattrs }, {
    ...empty,
    ...rest,
  } as typeof entry);
  t.deepEqual(entry!.path, path.replace(/\/$/, ''));
}

const writing = test.macro({
  exec(t, made: NewMember, blocks: number) {
    t.is(tarHeader(made).length, blocks * 512);
    same(t, made);
  },
  title: (name) => `writes ${name}`,
});
const long = (length: number, slash = false) =>
  slash ? `${'d'.repeat(49)}/`.repeat(Math.ceil(length / 50)).slice(0, length - 1) + 'e' : 'f'.repeat(length);
test('a file', writing, { type: 'file', path: 'a/b', mode: 0o4755, uid: 5, gid: 6, size: 7, mtime: 1_600_000_000 }, 1);
test('a folder', writing, { type: 'directory', path: 'a/', mode: 0o1777 }, 1);
test('a symbolic link', writing, { type: 'symlink', path: 'a', linkname: '/b' }, 1);
test('a hard link', writing, { type: 'hardlink', path: 'a', linkname: 'b' }, 1);
test('a device', writing, { type: 'char', path: 'a', deviceMajor: 1, deviceMinor: 1048575 }, 1);
test('a block device', writing, { type: 'block', path: 'a', deviceMajor: 4095, deviceMinor: 3 }, 1);
test('a FIFO', writing, { type: 'fifo', path: 'a' }, 1);
test('a name of 100 bytes', writing, { type: 'file', path: long(100) }, 1);
test('a name of 101 bytes', writing, { type: 'file', path: long(101) }, 3);
test('a path that fits the prefix', writing, { type: 'file', path: long(250, true) }, 1);
test('a path too long for the prefix', writing, { type: 'file', path: long(300, true) }, 3);
test('a folder of 100 bytes and its slash', writing, { type: 'directory', path: `${long(100)}/` }, 3);
test('a long target', writing, { type: 'symlink', path: 'a', linkname: long(101) }, 3);
test('bytes that are no text', writing, { type: 'file', path: 'caf\xe9\xff' }, 1);
test('a long name of such bytes', writing, { type: 'file', path: 'caf\xe9'.repeat(40) }, 3);
test('the largest ustar owner', writing, { type: 'file', path: 'a', uid: 0o7777777 }, 1);
test('a larger owner', writing, { type: 'file', path: 'a', uid: 0o10000000, gid: 0xfffffffe }, 3);
test('a file of 8 GiB', writing, { type: 'file', path: 'a', size: 2 ** 33 }, 3);
test('a file of 8 GiB less a byte', writing, { type: 'file', path: 'a', size: 2 ** 33 - 1 }, 1);
test('a fraction of a second', writing, { type: 'file', path: 'a', mtime: 1, mtimeNanoseconds: 120_000_000 }, 3);
test('a time before 1970', writing, { type: 'file', path: 'a', mtime: -2, mtimeNanoseconds: 250_000_000 }, 3);
test('a time after 2242', writing, { type: 'file', path: 'a', mtime: 2 ** 33 }, 3);
test(
  'xattrs',
  writing,
  {
    type: 'file',
    path: 'a',
    xattrs: new Map([
      ['security.capability', Buffer.from('\0\n=\xff', 'latin1')],
      ['user.a', Buffer.alloc(0)],
    ]),
  },
  3,
);

test('an xattr whose name has "=" is left out', (t) => {
  t.is(readBack({ type: 'file', path: 'a', xattrs: new Map([['user.a=b', Buffer.from('x')]]) })[0]!.xattrs, undefined);
});

test('any member comes back as it was', (t) => {
  const name = (length: number) =>
    Array.from(randomBytes(length), (byte) => String.fromCharCode((byte % 254) + 1))
      .join('')
      .replaceAll(/[/.]/g, 'x');
  for (let round = 0; round < 500; round++) {
    const path = Array.from({ length: randomInt(1, 6) }, () => name(randomInt(1, 120))).join('/');
    same(t, {
      type: 'file',
      path,
      mode: randomInt(0o10000),
      uid: randomInt(2 ** 32 - 2),
      gid: randomInt(2 ** 22),
      size: randomInt(2 ** 40),
      mtime: randomInt(2 ** 36) - 2 ** 34,
      mtimeNanoseconds: randomInt(1e9),
      xattrs: new Map([[`user.${randomInt(10)}`, randomBytes(randomInt(1, 300))]]),
    });
  }
});

test('GNU tar reads the same names', (t) => {
  const paths = ['a', long(101), long(250, true), long(300, true), fromText('café'.repeat(40))];
  const archive = Buffer.concat([
    ...paths.map((path) => tarHeader({ type: 'file', path, mtimeNanoseconds: 5 })),
    TAR_END,
  ]);
  t.deepEqual(
    execFileSync('tar', ['--list', '--quoting-style=literal'], {
      input: archive,
      encoding: 'latin1',
      env: { LC_ALL: 'C' },
    })
      .trim()
      .split('\n'),
    paths,
  );
});
