/** ADD of local tars: found by content, unpacked as Docker does, and never out of its place. */
import { execFileSync } from 'node:child_process';
import { readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync, zstdCompressSync } from 'node:zlib';
import test from 'ava';
import { copyLayer } from '../../../src/images/build/copy.ts';
import { openContext } from '../../../src/images/build/files/context.ts';
import type { CopyOperation } from '../../../src/images/build/operations.ts';
import { gnuLong, member, pax, type RawMember, tarball } from '../../fixtures/tar.ts';
import { random } from '../../fixtures/random.ts';
import { bytesOf, copy, members, Place } from './stage.ts';

interface Case {
  stage?: string[];
  /** bytes of the context's file `t` */
  t: Buffer;
  to?: string;
  options?: Partial<CopyOperation>;
  maxSize?: number;
  makes?: string[];
  fails?: string | RegExp;
  notes?: string[];
}

async function added(place: Place, one: Case, notes: string[] = []): Promise<string[]> {
  const { stage = [], t, to = '/o/', options, maxSize = 1 << 20 } = one;
  const folder = place.folder({});
  writeFileSync(join(folder, 't'), t);
  using context = openContext(folder);
  const operation = copy(`t ${to}`, { add: true, ...options });
  const layer = await copyLayer(operation, place.view(place.layer(...stage)), context, {
    unpack: { tmp: join(place.root, 'tmp'), maxSize },
    note: (text) => notes.push(text),
  });
  return members(await bytesOf(layer.write()), place);
}

const TIME = 1_600_000_000;
const file = (name: string, body = name, more: Partial<RawMember> = {}): RawMember => ({
  name,
  body,
  mode: 0o640,
  uid: 7,
  gid: 7,
  mtime: TIME,
  ...more,
});
const folder = (name: string, mode = 0o755): RawMember => ({
  name: `${name}/`,
  type: '5',
  mode,
  uid: 7,
  gid: 7,
  mtime: TIME,
});
const link = (name: string, to: string): RawMember => ({ name, type: '2', link: to, mode: 0o777, mtime: TIME });
const hard = (name: string, to: string): RawMember => ({ name, type: '1', link: to, mtime: TIME });

const PLAIN = tarball(file('d/f', 'one'), link('l', 'd/f'), file('root', 'two', { uid: 0, gid: 0 }));
const UNPACKED = [
  'd 755 0:0 o/',
  'd 755 0:0 o/d/',
  "f 640 7:7 o/d/f 'one'",
  'l 777 0:0 o/l -> d/f',
  "f 640 0:0 o/root 'two'",
];
const program = (name: string) => execFileSync(name, ['-c'], { input: PLAIN });

const cases: Record<string, Case> = {
  'a plain tar': { t: PLAIN, makes: UNPACKED },
  'a tar of gzip': { t: gzipSync(PLAIN), makes: UNPACKED },
  'a tar of zstd': { t: zstdCompressSync(PLAIN), makes: UNPACKED },
  'a tar of bzip2': { t: program('bzip2'), makes: UNPACKED },
  'a tar of xz': { t: program('xz'), makes: UNPACKED },
  'a tar to a name without a slash': { t: PLAIN, to: '/o', makes: UNPACKED },
  'through a link': {
    stage: ['l /lk /tgt', 'd /tgt'],
    to: '/lk/',
    t: tarball(file('x', 'ex')),
    makes: ['d 755 0:0 tgt/', "f 640 7:7 tgt/x 'ex'"],
  },
  'owners and modes of flags': {
    t: tarball(folder('d', 0o700), file('d/f', 'one'), link('l', 'x')),
    options: { chown: '5:6', chmod: 'go=' },
    makes: ['d 755 5:6 o/', 'd 700 5:6 o/d/', "f 600 5:6 o/d/f 'one'", 'l 777 5:6 o/l -> x'],
  },
  'nothing unpacked when the flag says so': {
    t: PLAIN,
    options: { unpack: false },
    makes: ['d 755 0:0 o/', `f 644 0:0 o/t ${PLAIN.length} bytes`],
  },
  'an empty file': { t: Buffer.alloc(0), makes: ['d 755 0:0 o/', "f 644 0:0 o/t ''"] },
  'a tar of nothing': { t: tarball(), makes: ['d 755 0:0 o/', 'f 644 0:0 o/t 1024 bytes'] },
  'a text that begins like bzip2': { t: Buffer.from('BZh!'), makes: ['d 755 0:0 o/', "f 644 0:0 o/t 'BZh!'"] },
  'gzip of a text': { t: gzipSync('x'), makes: [] },
  'a wrong checksum at the start': {
    t: tarball(member({ ...file('a'), checksum: 1 })),
    makes: ['d 755 0:0 o/', 'f 644 0:0 o/t 2048 bytes'],
  },
  'members in any order, a folder behind what is in it': {
    t: tarball(file('d/f', '1'), folder('d', 0o700)),
    makes: ['d 755 0:0 o/', 'd 700 7:7 o/d/', "f 640 7:7 o/d/f '1'"],
  },
  'a name twice: the last': {
    t: tarball(file('a', '1'), file('a', '2')),
    makes: ['d 755 0:0 o/', "f 640 7:7 o/a '2'"],
  },
  'the attributes of the top folder, which keeps its own': {
    stage: ['d /o 711 1:1'],
    t: tarball(folder('.', 0o700), file('a', '1')),
    makes: ['d 711 1:1 o/', "f 640 7:7 o/a '1'"],
  },
  'over what is there': {
    stage: ['d /etc', 'd /o', 'f /o/k 644 0:0 keep', 'l /o/e /etc', 'f /o/d', 'd /o/f', 'f /o/f/in'],
    t: tarball(folder('e'), file('e/x', '1'), folder('d'), file('d/y', '2'), file('f', '3')),
    makes: [
      'd 755 0:0 o/',
      'd 755 7:7 o/d/',
      "f 640 7:7 o/d/y '2'",
      'd 755 7:7 o/e/',
      "f 640 7:7 o/e/x '1'",
      "f 640 7:7 o/f '3'",
    ],
  },
  'a folder instead of a file instead of a folder: nothing of the first shows': {
    stage: ['d /o', 'd /o/f', 'f /o/f/in'],
    t: tarball(file('f', '3'), folder('f'), file('f/new', '4')),
    makes: ['d 755 0:0 o/', 'd 755 7:7 o/f/', "f 0 0:0 o/f/.wh..wh..opq '' @0", "f 640 7:7 o/f/new '4'"],
  },
  'hard links': {
    t: tarball(file('b', 'x'), hard('a', 'b'), hard('c/d', './b')),
    makes: ['d 755 0:0 o/', "f 640 7:7 o/a 'x'", 'h 640 7:7 o/b -> o/a', 'd 755 0:0 o/c/', 'h 640 7:7 o/c/d -> o/a'],
  },
  'a sparse file and xattrs': {
    t: tarball(
      pax([
        ['SCHILY.xattr.user.x', 'v'],
        ['path', 'long'],
      ]),
      file('x', 'text'),
    ),
    makes: ['d 755 0:0 o/', "f 640 7:7 o/long 'text' user.x=v"],
  },

  // What a stranger might try.
  'names that climb, which stay in the destination': {
    t: tarball(file('../../esc', '1'), file('a/../../b', '2'), file('/abs', '3'), hard('h', '../../esc')),
    makes: [
      'd 755 0:0 o/',
      "f 640 7:7 o/abs '3'",
      "f 640 7:7 o/b '2'",
      "f 640 7:7 o/esc '1'",
      'h 640 7:7 o/h -> o/esc',
    ],
  },
  'a long name that climbs': {
    t: tarball(gnuLong('L', `../../${'x'.repeat(120)}`), file('short', '1')),
    makes: ['d 755 0:0 o/', `f 640 7:7 o/${'x'.repeat(120)} '1'`],
  },
  'through a link of its own that climbs, which stays in the root': {
    stage: ['d /etc'],
    t: tarball(link('l', '../../../../etc'), file('l/x', '1')),
    makes: ['d 755 0:0 etc/', "f 640 7:7 etc/x '1'", 'd 755 0:0 o/', 'l 777 0:0 o/l -> ../../../../etc'],
  },
  'a hard link to a file of the stage': {
    stage: ['d /etc', 'f /etc/shadow'],
    t: tarball(link('l', '/etc'), hard('x', 'l/shadow')),
    fails: 'invalid tar: "x" is a hard link to "l/shadow", which it does not have',
  },
  'a hard link to a folder': {
    t: tarball(folder('d'), hard('x', 'd')),
    fails: 'invalid tar: "x" is a hard link to "d", which it does not have',
  },
  'a hard link to nothing': { t: tarball(file('a'), hard('x', '')), fails: /hard link to ""/ },
  'a file through a file': { t: tarball(file('a'), file('a/b')), fails: 'cannot copy to non-directory: /o/a' },
  'links in a circle': { t: tarball(link('a', 'b'), link('b', 'a'), file('a/x')), fails: /too many symbolic links/ },
  'whiteouts, which are left out': {
    stage: ['d /o', 'f /o/k'],
    t: tarball(file('.wh.k'), file('.wh..wh..opq'), file('.wh.d/x'), file('y', '1')),
    makes: ['d 755 0:0 o/', "f 640 7:7 o/y '1'"],
    notes: ['.wh.k', '.wh..wh..opq', '.wh.d/x'].map(
      (name) => `${name} is left out: in a layer the name would hide another file`,
    ),
  },
  'a device that overlay takes for a whiteout': {
    t: tarball({ name: 'c', type: '3', major: 0, minor: 0 }),
    fails: /cannot add \/o\/c: .* character device 0:0/,
  },
  'a decompression bomb': { t: gzipSync(tarball(file('z', '\0'.repeat(2 << 20)))), fails: /larger than 1048576 bytes/ },
  'gzip that breaks off': {
    t: gzipSync(tarball(file('z', noise(200_000)))).subarray(0, 150_000),
    fails: /broken gzip data/,
  },
  'a tar that breaks off': { t: tarball(file('z', 'x'.repeat(2000))).subarray(0, 1500), fails: /invalid tar/ },
};

function noise(length: number): string {
  const next = random(5);
  return Array.from({ length }, () => String.fromCharCode(next() * 256)).join('');
}

for (const [name, one] of Object.entries(cases)) {
  test(`ADD: ${name}`, async (t) => {
    using place = new Place();
    const notes: string[] = [];
    if (one.fails !== undefined) await t.throwsAsync(added(place, one), { message: one.fails, name: 'HuskError' });
    else {
      const lines = (await added(place, one, notes)).map((line) =>
        / @1[6-9]\d{8}$/.test(line) ? line.replace(/ @\d+$/, '') : line,
      );
      if (name === 'gzip of a text') t.regex(lines[1]!, /^f 644 0:0 o\/t /);
      else t.deepEqual(lines, one.makes!);
    }
    t.deepEqual(notes, one.notes ?? []);
    t.deepEqual(
      readdirSync(place.root).includes('tmp') ? readdirSync(join(place.root, 'tmp')) : [],
      [],
      'nothing is left',
    );
  });
}

test('ADD of any bytes makes a layer or says why not', async (t) => {
  const next = random(11);
  using place = new Place();
  let unpacked = 0;
  for (let round = 0; round < 150; round++) {
    const bytes = Buffer.from(
      tarball(
        folder('d'),
        file('d/f', 'text'),
        link('l', '../d'),
        hard('h', 'd/f'),
        file('l/x', 'y'),
        gnuLong('L', 'n'.repeat(150)),
        file('s'),
      ),
    );
    for (let changes = 1 + Math.floor(next() * 4); changes > 0; changes--)
      bytes[512 + Math.floor(next() * (bytes.length - 512))] = Math.floor(next() * 256);
    try {
      // `members` reads the layer as husk reads any: what it refuses would be a fault of ours.
      await added(place, { t: bytes, stage: ['d /o', 'l /o/d /etc', 'd /etc'] });
      unpacked++;
    } catch (error) {
      t.is((error as Error).name, 'HuskError', String((error as Error).stack));
    }
  }
  t.true(unpacked > 0);
});
