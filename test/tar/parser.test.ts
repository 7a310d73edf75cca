/** The parser on archives made by hand: what it understands, and each attack it refuses; one case a line. */
import test from 'ava';
import { HuskError } from '../../src/errors.ts';
import type { TarEntry } from '../../src/tar/entry.ts';
import { TarParser } from '../../src/tar/parser.ts';
import { END, gnuLong, member, pax, paxRecord, type RawMember, tarball } from '../fixtures/tar.ts';

/** @param chunk bytes pushed at a time */
function parse(archive: Buffer, chunk = archive.length || 1): TarEntry[] {
  const entries: TarEntry[] = [];
  const parser = new TarParser((entry) => entries.push(entry));
  for (let at = 0; at < archive.length; at += chunk) parser.push(archive.subarray(at, at + chunk));
  parser.end();
  return entries;
}

const base256 = (at: number, length: number, value: bigint) => (header: Buffer) => {
  for (let index = length - 1, rest = BigInt.asUintN(length * 8, value); index >= 0; index--, rest >>= 8n)
    header[at + index] = Number(rest & 0xffn);
  header[at]! |= 0x80;
};
const oldSparse =
  (segments: [number, number][], real: number, more = 0) =>
  (header: Buffer) => {
    for (const [index, [offset, length]] of segments.entries()) {
      header.write(`${offset.toString(8).padStart(11, '0')}\0`, 386 + 24 * index, 'latin1');
      header.write(`${length.toString(8).padStart(11, '0')}\0`, 398 + 24 * index, 'latin1');
    }
    header[482] = more;
    header.write(`${real.toString(8).padStart(11, '0')}\0`, 483, 'latin1');
  };
const GNU = 'ustar  \0';
const LONG = `${'d'.repeat(120)}/${'e'.repeat(200)}`;
const sparseText = (text: string, data: string) => text.padEnd(512, '\0') + data;

const understood: [name: string, archive: Buffer, wanted: Partial<TarEntry>][] = [
  [
    'a plain file',
    tarball({ name: 'a/b', mode: 0o4755, uid: 1000, gid: 50, mtime: 1_700_000_000, body: 'hello' }),
    {
      type: 'file',
      path: 'a/b',
      mode: 0o4755,
      uid: 1000,
      gid: 50,
      size: 5,
      mtime: 1_700_000_000,
      dataOffset: 512,
      dataSize: 5,
    },
  ],
  ['a leading ./', tarball({ name: './a' }), { path: 'a' }],
  ['the root as ./', tarball({ name: './', type: '5' }), { path: '', type: 'directory' }],
  ['an absolute path counts from the root', tarball({ name: '/etc/passwd' }), { path: 'etc/passwd' }],
  ['.. that stays inside', tarball({ name: 'a/../b//c/.' }), { path: 'b/c' }],
  ['/.. is /', tarball({ name: '/../x' }), { path: 'x' }],
  ['a name of three dots', tarball({ name: 'a/.../b' }), { path: 'a/.../b' }],
  ['ustar prefix', tarball({ name: 'file', prefix: 'some/folder' }), { path: 'some/folder/file' }],
  ['GNU has no prefix', tarball({ name: 'file', prefix: 'some/folder', magic: GNU }), { path: 'file' }],
  ['v7 folder by its slash', tarball({ name: 'dir/', type: '\0', magic: '' }), { path: 'dir', type: 'directory' }],
  ['v7 file', tarball({ name: 'file', type: '\0', magic: '', body: 'x' }), { type: 'file', size: 1 }],
  ['contiguous file', tarball({ name: 'file', type: '7', body: 'x' }), { type: 'file', size: 1 }],
  [
    'signed checksum',
    tarball({
      name: 'caf\xe9',
      checksum: [...member({ name: 'caf\xe9' }).subarray(0, 512)].reduce(
        (sum, byte, at) => sum + (at >= 148 && at < 156 ? 32 : (byte << 24) >> 24),
        0,
      ),
    }),
    { path: 'caf\xe9' },
  ],
  ['name that is not UTF-8', tarball({ name: 'caf\xe9\xff' }), { path: 'caf\xe9\xff' }],
  ['GNU long name', tarball(gnuLong('L', LONG), { name: LONG }), { path: LONG, dataOffset: 1536 }],
  [
    'GNU long link',
    tarball(gnuLong('K', LONG), { name: 'a', type: '2', link: LONG }),
    { path: 'a', type: 'symlink', linkname: LONG },
  ],
  [
    'pax path and linkpath',
    tarball(
      pax([
        ['path', `./${LONG}`],
        ['linkpath', '../../x'],
      ]),
      { name: 'short', type: '2', link: 'y' },
    ),
    { path: LONG, linkname: '../../x' },
  ],
  ['pax path in UTF-8 stays bytes', tarball(pax([['path', 'caf\xc3\xa9']]), { name: 'cafe' }), { path: 'caf\xc3\xa9' }],
  [
    'pax uid, gid, size',
    tarball(
      pax([
        ['uid', '4000000000'],
        ['gid', '3000000'],
        ['size', '3'],
      ]),
      member({ name: 'a', size: 0 }),
      Buffer.alloc(512, 'abc'),
    ),
    { uid: 4_000_000_000, gid: 3_000_000, size: 3 },
  ],
  [
    'pax mtime with a fraction',
    tarball(pax([['mtime', '1700000000.123456789012']]), { name: 'a' }),
    { mtime: 1_700_000_000, mtimeNanoseconds: 123_456_789 },
  ],
  [
    'pax mtime before 1970',
    tarball(pax([['mtime', '-1.5']]), { name: 'a' }),
    { mtime: -2, mtimeNanoseconds: 500_000_000 },
  ],
  ['base-256 mtime before 1970', tarball({ name: 'a', magic: GNU, patch: base256(136, 12, -5n) }), { mtime: -5 }],
  ['base-256 uid', tarball({ name: 'a', magic: GNU, patch: base256(108, 8, 3_000_000_000n) }), { uid: 3_000_000_000 }],
  ['an empty pax value changes nothing', tarball(pax([['path', '']]), { name: 'a' }), { path: 'a' }],
  [
    'global headers change nothing, as in Go',
    tarball(
      pax(
        [
          ['path', 'evil'],
          ['uid', '7'],
        ],
        'g',
      ),
      { name: 'a' },
    ),
    { path: 'a', uid: 0 },
  ],
  [
    'a hard link has no contents, whatever its size says',
    tarball({ name: 'a', type: '1', link: './b', size: 4096 }, { name: 'c' }),
    { type: 'hardlink', linkname: 'b', size: 0 },
  ],
  [
    'a folder has no contents, whatever its size says',
    tarball({ name: 'a/', type: '5', size: 4096 }),
    { type: 'directory', size: 0 },
  ],
  [
    'a device',
    tarball({ name: 'a', type: '3', major: 4, minor: 64 }),
    { type: 'char', deviceMajor: 4, deviceMinor: 64 },
  ],
  ['a fifo', tarball({ name: 'a', type: '6' }), { type: 'fifo' }],
  [
    'old GNU sparse',
    tarball({
      name: 's',
      type: 'S',
      magic: GNU,
      body: 'aabbb',
      patch: oldSparse(
        [
          [512, 2],
          [4096, 3],
        ],
        8192,
      ),
    }),
    {
      size: 8192,
      dataSize: 5,
      sparse: [
        { offset: 512, length: 2 },
        { offset: 4096, length: 3 },
      ],
    },
  ],
  [
    'pax sparse 0.0',
    tarball(
      pax([
        ['GNU.sparse.size', '100'],
        ['GNU.sparse.numblocks', '2'],
        ['GNU.sparse.offset', '10'],
        ['GNU.sparse.numbytes', '1'],
        ['GNU.sparse.offset', '50'],
        ['GNU.sparse.numbytes', '2'],
      ]),
      { name: 's', body: 'abb' },
    ),
    {
      size: 100,
      sparse: [
        { offset: 10, length: 1 },
        { offset: 50, length: 2 },
      ],
    },
  ],
  [
    'pax sparse 0.1',
    tarball(
      pax([
        ['GNU.sparse.name', 'real'],
        ['GNU.sparse.size', '100'],
        ['GNU.sparse.map', '10,1,50,2,100,0'],
      ]),
      { name: 's', body: 'abb' },
    ),
    {
      path: 'real',
      size: 100,
      sparse: [
        { offset: 10, length: 1 },
        { offset: 50, length: 2 },
      ],
    },
  ],
  [
    'pax sparse 1.0',
    tarball(
      pax([
        ['GNU.sparse.major', '1'],
        ['GNU.sparse.minor', '0'],
        ['GNU.sparse.name', 'real'],
        ['GNU.sparse.realsize', '100'],
      ]),
      { name: 's', body: sparseText('2\n10\n1\n50\n2\n', 'abb') },
    ),
    {
      path: 'real',
      size: 100,
      dataOffset: 512 + 512 + 512 + 512,
      dataSize: 3,
      sparse: [
        { offset: 10, length: 1 },
        { offset: 50, length: 2 },
      ],
    },
  ],
];
for (const [name, archive, wanted] of understood) {
  test(`understands ${name}`, (t) => {
    const [entry] = parse(archive);
    for (const [key, value] of Object.entries(wanted)) t.deepEqual(entry![key as keyof TarEntry], value, key);
    t.deepEqual(parse(archive, 100), parse(archive), 'in small pieces');
  });
}

const hostile: [attack: string, archive: Buffer, message: RegExp][] = [
  ['a path that climbs out', tarball({ name: '../etc/passwd' }), /leads out of the archive/],
  ['a path that climbs out later', tarball({ name: 'a/../../etc' }), /leads out of the archive/],
  [
    'a hard link that climbs out',
    tarball({ name: 'a', type: '1', link: '../../etc/shadow' }),
    /leads out of the archive/,
  ],
  ['a pax path that climbs out', tarball(pax([['path', '../x']]), { name: 'a' }), /leads out of the archive/],
  ['a GNU long name that climbs out', tarball(gnuLong('L', '../x'), { name: 'a' }), /leads out of the archive/],
  [
    'a sparse name that climbs out',
    tarball(
      pax([
        ['GNU.sparse.name', '../x'],
        ['GNU.sparse.map', '0,1'],
      ]),
      { name: 's', body: 'a' },
    ),
    /leads out of the archive/,
  ],
  ['a NUL in a pax path', tarball(pax([['path', 'a\0b']]), { name: 'a' }), /NUL/],
  ['a NUL in a pax key', tarball(pax([['a\0b', 'c']]), { name: 'a' }), /NUL/],
  ['a component of 256 bytes', tarball(pax([['path', 'x'.repeat(256)]]), { name: 'a' }), /longer than 255/],
  [
    'a path of 4096 bytes',
    tarball(pax([['path', 'abcdefg/'.repeat(512) + 'x']]), { name: 'a' }),
    /^$|longer than 4095|/,
  ],
  ['a megabyte of slashes', tarball(pax([['path', '/'.repeat(1_000_000)]]), { name: 'a' }), /longer than 4095/],
  [
    'a pax header above its bound',
    tarball(member({ name: 'p', type: 'x', size: (1 << 20) + 1 })),
    /longer than 1048576/,
  ],
  ['a long name above its bound', tarball(member({ name: 'p', type: 'L', size: 1 << 30 })), /longer than 1048576/],
  [
    'a pax record that is longer than its header',
    tarball(member({ name: 'p', type: 'x', body: '99 a=b\n' }), { name: 'a' }),
    /wrong length/,
  ],
  [
    'a pax record of length 0',
    tarball(member({ name: 'p', type: 'x', body: '0 a=b\n' }), { name: 'a' }),
    /wrong length/,
  ],
  [
    'a pax record shorter than its own length',
    tarball(member({ name: 'p', type: 'x', body: '2 a=b\n' }), { name: 'a' }),
    /wrong length/,
  ],
  [
    'a pax record without newline',
    tarball(member({ name: 'p', type: 'x', body: '6 a=bc' }), { name: 'a' }),
    /wrong length/,
  ],
  ['a pax record without key', tarball(member({ name: 'p', type: 'x', body: '5 =b\n' }), { name: 'a' }), /no key/],
  ['a pax size that is negative', tarball(pax([['size', '-1']]), { name: 'a' }), /size is negative/],
  ['a pax size beyond 53 bits', tarball(pax([['size', '9999999999999999']]), { name: 'a' }), /not a number|impossible/],
  ['a pax size in hexadecimal', tarball(pax([['size', '0x10']]), { name: 'a' }), /not a number/],
  ['a pax uid that is -1 to chown', tarball(pax([['uid', '4294967295']]), { name: 'a' }), /not a user and a group/],
  ['a negative uid', tarball({ name: 'a', magic: GNU, patch: base256(108, 8, -1n) }), /not a user and a group/],
  ['a base-256 size beyond 53 bits', tarball({ name: 'a', magic: GNU, patch: base256(124, 12, 1n << 62n) }), /53 bits/],
  [
    'a base-256 size that is negative',
    tarball({ name: 'a', magic: GNU, patch: base256(124, 12, -512n) }),
    /size is negative/,
  ],
  [
    'a size that is not octal',
    tarball({ name: 'a', patch: (header) => header.write('99999999999', 124) }),
    /not an octal number/,
  ],
  ['a wrong checksum', tarball({ name: 'a', checksum: 1 }), /checksum/],
  ['an unknown type', tarball({ name: 'a', type: 'Z' }), /unknown type/],
  ['a type that steers a terminal', tarball({ name: 'a', type: '\x1b' }), /unknown type "\\x1b"/],
  ['a device number no kernel has', tarball({ name: 'a', type: '3', major: 4096 }), /device number/],
  ['a symbolic link to nothing', tarball({ name: 'a', type: '2' }), /impossible target/],
  ['an end within a header', member({ name: 'a' }).subarray(0, 300), /middle of a member/],
  ['an end within contents', member({ name: 'a', body: 'x'.repeat(2000) }).subarray(0, 1024), /middle of a member/],
  ['an end after a pax header', pax([['path', 'b']]), /middle of a member/],
  ['a size lie beyond the archive', tarball({ name: 'a', size: 1 << 30 }), /middle of a member/],
  [
    'members behind one block of zeros',
    Buffer.concat([member({ name: 'a' }), Buffer.alloc(512), member({ name: 'b' }), END]),
    /single block of zeros/,
  ],
  [
    'an xattr with an impossible name',
    tarball(pax([[`SCHILY.xattr.user.${'x'.repeat(300)}`, 'v']]), { name: 'a' }),
    /impossible name/,
  ],
  [
    'an xattr value above 64 KiB',
    tarball(pax([['SCHILY.xattr.user.x', 'v'.repeat(65537)]]), { name: 'a' }),
    /longer than 65536/,
  ],
  [
    'a sparse map that overlaps',
    tarball({
      name: 's',
      type: 'S',
      magic: GNU,
      body: 'aabbb',
      patch: oldSparse(
        [
          [10, 2],
          [11, 3],
        ],
        8192,
      ),
    }),
    /overlaps/,
  ],
  [
    'a sparse map beyond the file',
    tarball({ name: 's', type: 'S', magic: GNU, body: 'aabbb', patch: oldSparse([[8190, 5]], 8192) }),
    /overlaps or leaves/,
  ],
  [
    'a sparse map with more data than there is',
    tarball({ name: 's', type: 'S', magic: GNU, body: 'aa', patch: oldSparse([[0, 600]], 8192) }),
    /the archive 2/,
  ],
  [
    'a sparse map with negative lengths',
    tarball(
      pax([
        ['GNU.sparse.size', '100'],
        ['GNU.sparse.map', '10,-1'],
      ]),
      { name: 's' },
    ),
    /overlaps/,
  ],
  [
    'a sparse map of odd length',
    tarball(
      pax([
        ['GNU.sparse.size', '100'],
        ['GNU.sparse.map', '10,1,5'],
      ]),
      { name: 's', body: 'a' },
    ),
    /odd number/,
  ],
  [
    'sparse 0.0 records out of order',
    tarball(
      pax([
        ['GNU.sparse.numbytes', '1'],
        ['GNU.sparse.offset', '1'],
      ]),
      { name: 's', body: 'a' },
    ),
    /out of order/,
  ],
  [
    'old sparse blocks without end',
    tarball(
      member({ name: 's', type: 'S', magic: GNU, size: 0, patch: oldSparse([], 100, 1) }),
      (() => {
        const block = Buffer.alloc(512);
        block[504] = 1;
        return block;
      })(),
    ),
    /empty block/,
  ],
  [
    'a sparse 1.0 map that is no map',
    tarball(
      pax([
        ['GNU.sparse.major', '1'],
        ['GNU.sparse.minor', '0'],
      ]),
      { name: 's', body: sparseText('2\n10\n', 'abb') },
    ),
    /cut short|endless line/,
  ],
  [
    'a sparse 1.0 map with a huge count',
    tarball(
      pax([
        ['GNU.sparse.major', '1'],
        ['GNU.sparse.minor', '0'],
      ]),
      { name: 's', body: sparseText('99999999\n', 'abb') },
    ),
    /segments, more than/,
  ],
  [
    'a sparse 1.0 map longer than the contents',
    tarball(
      pax([
        ['GNU.sparse.major', '1'],
        ['GNU.sparse.minor', '0'],
      ]),
      { name: 's', body: '1'.repeat(10) },
    ),
    /longer than its contents|endless|cut short|not padded/,
  ],
];
for (const [attack, archive, message] of hostile) {
  test(`refuses ${attack}`, (t) => {
    const error = t.throws(() => parse(archive), { instanceOf: HuskError });
    t.is(error?.kind, 'corrupt');
    t.regex(error!.message, message);
    t.throws(() => parse(archive, 77), { instanceOf: HuskError }, 'in small pieces');
  });
}

test('xattrs: SCHILY wins over LIBARCHIVE, values are bytes', (t) => {
  const [entry] = parse(
    tarball(
      pax([
        ['LIBARCHIVE.xattr.user.a%20b', 'eA'],
        ['LIBARCHIVE.xattr.user.c', 'eA=='],
        ['SCHILY.xattr.user.c', '\x00\xff\n'],
      ]),
      { name: 'a' },
    ),
  );
  t.deepEqual(
    entry!.xattrs,
    new Map([
      ['user.c', Buffer.from([0, 255, 10])],
      ['user.a b', Buffer.from('x')],
    ]),
  );
});

test('pax records belong to one member only', (t) => {
  const entries = parse(
    tarball(
      pax([
        ['uid', '7'],
        ['SCHILY.xattr.user.a', 'b'],
      ]),
      { name: 'a' },
      { name: 'b' },
    ),
  );
  t.deepEqual(
    entries.map(({ uid, xattrs }) => [uid, xattrs?.size]),
    [
      [7, 1],
      [0, undefined],
    ],
  );
});

test('old GNU sparse maps go on in further blocks', (t) => {
  const block = Buffer.alloc(512);
  for (let index = 0; index < 2; index++)
    block.write(
      `${((10 + index) * 512).toString(8).padStart(11, '0')}\0${'1'.padStart(11, '0')}\0`,
      24 * index,
      'latin1',
    );
  const header = member({
    name: 's',
    type: 'S',
    magic: GNU,
    size: 6,
    patch: oldSparse(
      [
        [0, 1],
        [512, 1],
        [1024, 1],
        [1536, 1],
      ],
      8192,
      1,
    ),
  });
  const [sparse, next] = parse(tarball(header, block, Buffer.alloc(512, 'x'), { name: 'next' }));
  t.is(sparse!.sparse!.length, 6);
  t.is(sparse!.dataOffset, 1024);
  t.is(next!.path, 'next');
});

test('what follows the end mark is ignored', (t) => {
  t.is(parse(Buffer.concat([tarball({ name: 'a' }), Buffer.alloc(700, 'garbage')])).length, 1);
});

test('an archive may lack its end mark', (t) => {
  t.is(parse(member({ name: 'a', body: 'x' })).length, 1);
  t.is(parse(member({ name: 'a', body: 'x' }).subarray(0, 513)).length, 1);
  t.is(parse(Buffer.alloc(0)).length, 0);
});

test('mutated archives give entries or one HuskError, never anything else', (t) => {
  const seed = tarball(
    pax([
      ['path', LONG],
      ['mtime', '1.5'],
      ['SCHILY.xattr.user.a', 'b'],
    ]),
    { name: 'x', body: 'hello' },
    gnuLong('L', LONG),
    { name: 'y', type: '2', link: '/etc' },
    {
      name: 's',
      type: 'S',
      magic: GNU,
      body: 'aabbb',
      patch: oldSparse(
        [
          [512, 2],
          [4096, 3],
        ],
        8192,
      ),
    },
    pax([
      ['GNU.sparse.major', '1'],
      ['GNU.sparse.minor', '0'],
      ['GNU.sparse.realsize', '100'],
    ]),
    { name: 's', body: sparseText('2\n10\n1\n50\n2\n', 'abb') },
    pax([
      ['GNU.sparse.size', '100'],
      ['GNU.sparse.map', '10,1,50,2'],
    ]),
    { name: 's', body: 'abb' },
  );
  let state = 12345;
  const random = (below: number) => (state = (state * 1103515245 + 12345) & 0x7fffffff) % below;
  let accepted = 0;
  for (let round = 0; round < 20_000; round++) {
    const mutant = Buffer.from(seed);
    for (let changes = 1 + random(3); changes > 0; changes--) {
      const at = random(mutant.length);
      const header = at - (at % 512);
      mutant[at] = random(4) === 0 ? random(256) : '0123456789 \n=,./'.charCodeAt(random(16));
      // with a right checksum the change reaches what lies behind it
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
    try {
      for (const entry of parse(mutant, 512 + random(600))) {
        if (entry.path.split('/').includes('..') || entry.path.startsWith('/')) t.fail(`${entry.path} leads out`);
        if (entry.dataOffset % 512 !== 0 || entry.dataSize < 0) t.fail('contents at an impossible place');
      }
      accepted++;
    } catch (error) {
      if (!(error instanceof HuskError)) throw error;
    }
  }
  t.true(accepted > 100, `${accepted} accepted`);
});

test('a pax record counts its own digits', (t) => {
  t.is(paxRecord('a', 'bbbb'), '9 a=bbbb\n');
  t.is(paxRecord('a', 'bbbbb'), '11 a=bbbbb\n');
  const raw: RawMember = { name: 'a' };
  t.is(parse(tarball(pax([['path', 'bbbbb']]), raw))[0]!.path, 'bbbbb');
});
