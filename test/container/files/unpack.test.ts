/**
 * The unpacker against archives that want out of their folder, one attack a test; the folder's neighbour must stay as
 * it was.
 */
import {
  chmodSync,
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  readlinkSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { containerPlace, hostPlace } from '../../../src/container/files/places.ts';
import { Unpacker, type UnpackOptions } from '../../../src/container/files/unpack.ts';
import { renaming } from '../../../src/engine/files/copy-rules.ts';
import { HuskError } from '../../../src/errors.ts';
import { closeFd, openFolder } from '../../../src/host/files/lookup.ts';
import { pax, tarball, type RawMember } from '../../fixtures/tar.ts';

/** ms; without the mend it takes a tenth of this */
const RACE_MS = 3000;

type Members = (RawMember | Buffer)[];

/** `in` is unpacked into, `out` beside it is what the attacks are after */
function folders(t: ExecutionContext): { base: string; inside: string; outside: string } {
  const base = mkdtempSync(join(tmpdir(), 'husk-unpack-'));
  t.teardown(() => rmSync(base, { recursive: true, force: true }));
  const [inside, outside] = [join(base, 'in'), join(base, 'out')];
  for (const folder of [inside, outside]) mkdirSync(folder);
  writeFileSync(join(outside, 'secret'), 'secret', { mode: 0o600 });
  return { base, inside, outside };
}

function unpack(folder: string, members: Members, options: Partial<UnpackOptions> = {}, cut = 1000): void {
  const fd = openFolder(folder);
  const unpacker = new Unpacker(hostPlace(fd, folder), { owner: 'none', ...options });
  try {
    const bytes = tarball(...members);
    for (let at = 0; at < bytes.length; at += cut) unpacker.push(bytes.subarray(at, at + cut));
    unpacker.end();
  } finally {
    unpacker.close();
    closeFd(fd);
  }
}

const ATTACKS: [
  name: string,
  members: Members,
  message: RegExp | undefined,
  prepare?: (folder: ReturnType<typeof folders>) => void,
][] = [
  ['`..` in a name', [{ name: '../out/secret', body: 'x' }], /leads out of the archive/],
  ['`..` within a name', [{ name: 'a/../../out/secret', body: 'x' }], /leads out of the archive/],
  ['`..` in a long name', [pax([['path', '../out/secret']]), { name: 'x', body: 'x' }], /leads out of the archive/],
  [
    'a symbolic link, then a file behind it',
    [
      { name: 'l', type: '2', link: '../out' },
      { name: 'l/secret', body: 'x' },
    ],
    /links are not followed/,
  ],
  [
    'a symbolic link, then a folder behind it',
    [
      { name: 'l', type: '2', link: '../out' },
      { name: 'l/new/', type: '5' },
    ],
    /links are not followed/,
  ],
  [
    'an absolute symbolic link, then a file behind it',
    [
      { name: 'l', type: '2', link: '/tmp' },
      { name: 'l/husk-was-here', body: 'x' },
    ],
    /links are not followed/,
  ],
  [
    'two links that lead out together',
    [
      { name: 'a/', type: '5' },
      { name: 'a/b', type: '2', link: '..' },
      { name: 'a/b/c', type: '2', link: '..' },
      { name: 'a/b/c/out/secret', body: 'x' },
    ],
    /links are not followed/,
  ],
  [
    'a symbolic link, then a folder of its name',
    [
      { name: 'l', type: '2', link: '../out' },
      { name: 'l/', type: '5', mode: 0o777 },
    ],
    /cannot overwrite non-directory/,
  ],
  [
    'a symbolic link, then a file of its name',
    [
      { name: 'l', type: '2', link: '../out/secret' },
      { name: 'l', body: 'x' },
    ],
    undefined,
  ],
  ['a hard link to a file outside', [{ name: 'l', type: '1', link: '../out/secret' }], /leads out of the archive/],
  [
    'a hard link through a symbolic link',
    [
      { name: 'd', type: '2', link: '../out' },
      { name: 'l', type: '1', link: 'd/secret' },
    ],
    /no such file|links are not followed/,
  ],
  [
    'a hard link to a symbolic link that was there, then a file over it',
    [
      { name: 'l', type: '1', link: 'old-link' },
      { name: 'l', body: 'x' },
    ],
    /did not bring/,
    ({ inside }) => symlinkSync('../out/secret', join(inside, 'old-link')),
  ],
  [
    'a link that was there in the way',
    [{ name: 'old/secret', body: 'x' }],
    /links are not followed/,
    ({ inside }) => symlinkSync('../out', join(inside, 'old')),
  ],
  [
    'a link that was there at the name',
    [{ name: 'old', body: 'x' }],
    undefined,
    ({ inside }) => symlinkSync('../out/secret', join(inside, 'old')),
  ],
];

test('a FIFO that becomes a link before it has its mode: no file of the host gets it', async (t) => {
  const { inside, outside } = folders(t);
  const secret = join(outside, 'secret');
  execFileSync('mkfifo', [join(inside, 'f')]);
  symlinkSync(secret, join(inside, 'l'));
  // it exchanges `f`, which the archive makes again and again, and a link that leads to the secret
  const swapper = spawn(
    process.execPath,
    [
      '--disable-warning=ExperimentalWarning',
      join(import.meta.dirname, '../../launch/swap-forever.ts'),
      join(inside, 'f'),
      join(inside, 'l'),
    ],
    { stdio: ['ignore', 'pipe', 'inherit'] },
  );
  t.teardown(() => swapper.kill('SIGKILL'));
  await once(swapper.stdout, 'data');
  const members = [{ name: 'f', type: '6', mode: 0o777 }];
  const start = Date.now();
  for (let round = 0; round < 5 || Date.now() - start < RACE_MS; round++) {
    // an exchange that came between has left the FIFO there
    rmSync(join(inside, 'l'), { force: true });
    symlinkSync(secret, join(inside, 'l'));
    try {
      unpack(inside, members, {}, 1 << 20);
    } catch (error) {
      // the other side was faster: the name was there again
      t.regex((error as Error).message, /somebody else makes it again and again|file exists|EEXIST/);
    }
    if ((statSync(secret).mode & 0o777) !== 0o600) break;
  }
  t.is(statSync(secret).mode & 0o777, 0o600);
});

for (const [name, members, message, prepare] of ATTACKS) {
  test(`stays in its folder: ${name}`, (t) => {
    const places = folders(t);
    prepare?.(places);
    if (message) t.throws(() => unpack(places.inside, members), { instanceOf: HuskError, message });
    else unpack(places.inside, members);
    t.is(readFileSync(join(places.outside, 'secret'), 'utf8'), 'secret');
    t.is(statSync(join(places.outside, 'secret')).mode & 0o777, 0o600);
    t.deepEqual(readdirSync(places.outside), ['secret']);
    t.is(statSync(places.outside).mode & 0o777, 0o755);
    t.false(existsSync('/tmp/husk-was-here'));
  });
}

test('an absolute name counts from the folder', (t) => {
  const { inside } = folders(t);
  unpack(inside, [{ name: '/etc/passwd', body: 'mine' }]);
  t.is(readFileSync(join(inside, 'etc/passwd'), 'utf8'), 'mine');
});

test('a file that was there gets no second name, and keeps its mode', (t) => {
  const { inside } = folders(t);
  writeFileSync(join(inside, 'key'), 'key', { mode: 0o600 });
  t.throws(() => unpack(inside, [{ name: 'l', type: '1', link: 'key', mode: 0o666 }]), { message: /did not bring/ });
  t.is(statSync(join(inside, 'key')).mode & 0o777, 0o600);
  t.is(statSync(join(inside, 'key')).nlink, 1);
});

test('a file that was there is replaced, not written through: its other names keep what they had', (t) => {
  const { inside, outside } = folders(t);
  t.notThrows(() => unpack(inside, [{ name: 'a', body: 'new' }]));
  writeFileSync(join(outside, 'shared'), 'old');
  symlinkSync('../out/shared', join(inside, 'b'));
  unpack(inside, [{ name: 'b', body: 'new' }]);
  t.is(readFileSync(join(outside, 'shared'), 'utf8'), 'old');
  t.true(lstatSync(join(inside, 'b')).isFile());
});

test('devices are left out and named, FIFOs are made and never waited for', (t) => {
  const { inside } = folders(t);
  const left: string[] = [];
  unpack(
    inside,
    [
      { name: 'sda', type: '4', major: 8 },
      { name: 'mem', type: '3', major: 1, minor: 1, mode: 0o666 },
      { name: 'f', type: '6' },
      { name: 'f', body: 'a file now' },
    ],
    { onLeftOut: (path) => void left.push(path) },
  );
  t.deepEqual(left, ['sda', 'mem']);
  t.deepEqual(readdirSync(inside), ['f']);
  t.true(lstatSync(join(inside, 'f')).isFile());
});

test('set-user-ID and set-group-ID bits only for who asks for them', (t) => {
  const { inside } = folders(t);
  unpack(inside, [
    { name: 'a', mode: 0o6755 },
    { name: 'd/', type: '5', mode: 0o3777 },
  ]);
  t.deepEqual(
    ['a', 'd'].map((name) => statSync(join(inside, name)).mode & 0o7777),
    [0o755, 0o777],
  );
  unpack(inside, [{ name: 'b', mode: 0o4755 }], { specialBits: true });
  t.is(statSync(join(inside, 'b')).mode & 0o7777, 0o4755);
});

test('folders that are there keep their mode and what is in them', (t) => {
  const { inside } = folders(t);
  mkdirSync(join(inside, 'ssh'), { mode: 0o700 });
  writeFileSync(join(inside, 'ssh/old'), '');
  unpack(inside, [{ name: 'ssh/', type: '5', mode: 0o777 }, { name: 'ssh/new' }]);
  t.is(statSync(join(inside, 'ssh')).mode & 0o777, 0o700);
  t.deepEqual(readdirSync(join(inside, 'ssh')), ['new', 'old']);
});

test('only what was asked for: a member beside it is refused', (t) => {
  const { inside } = folders(t);
  const file = renaming('file', 'file', { isDirectory: false });
  for (const member of [{ name: '.bashrc' }, { name: 'file/x' }, { name: 'filet' }])
    t.throws(() => unpack(inside, [member], { rename: file }), { message: /was not asked for/ });
  const folder = renaming('dir', 'other', { isDirectory: true });
  t.throws(() => unpack(inside, [{ name: 'dir/', type: '5' }, { name: '.bashrc' }], { rename: folder }), {
    message: /was not asked for/,
  });
  unpack(
    inside,
    [
      { name: 'dir/', type: '5' },
      { name: 'dir/x', body: '1' },
      { name: 'dir/y', type: '1', link: 'dir/x' },
    ],
    { rename: folder },
  );
  t.deepEqual(readdirSync(join(inside, 'other')), ['x', 'y']);
  t.throws(() => unpack(inside, [{ name: 'dir/z', type: '1', link: 'secret' }], { rename: folder }), {
    message: /leads elsewhere/,
  });
});

test('kinds replace each other only when that was asked for', (t) => {
  const { inside, outside } = folders(t);
  mkdirSync(join(inside, 'd/e'), { recursive: true });
  symlinkSync(outside, join(inside, 'd/e/link'));
  writeFileSync(join(inside, 'f'), '');
  t.throws(() => unpack(inside, [{ name: 'd', body: 'x' }]), {
    message: `cannot overwrite directory "${inside}/d" with non-directory "${inside}"`,
  });
  t.throws(() => unpack(inside, [{ name: 'f/', type: '5' }]), {
    message: `cannot overwrite non-directory "${inside}/f" with directory "${inside}"`,
  });
  unpack(
    inside,
    [
      { name: 'd', body: 'x' },
      { name: 'f/', type: '5' },
    ],
    { replaceKinds: true },
  );
  t.true(lstatSync(join(inside, 'd')).isFile() && lstatSync(join(inside, 'f')).isDirectory());
  t.deepEqual(readdirSync(outside), ['secret']);
});

test('contents, times, modes, links, closed folders; in whatever pieces the bytes come', (t) => {
  const body = Buffer.from(Array.from({ length: 3000 }, (_, index) => index % 251));
  const members: Members = [
    { name: 'd/', type: '5', mode: 0o500, mtime: 1_000_000_000 },
    { name: 'd/f', mode: 0o640, mtime: 1_200_000_000, body },
    { name: 'd/l', type: '2', link: '../nowhere' },
    { name: 'd/h', type: '1', link: 'd/f' },
    { name: 'deep/er/x' },
  ];
  for (const cut of [1, 511, 512, 513, 100_000]) {
    const { inside } = folders(t);
    unpack(inside, members, {}, cut);
    t.true(readFileSync(join(inside, 'd/f')).equals(body));
    const [folder, file] = [statSync(join(inside, 'd')), statSync(join(inside, 'd/f'))];
    t.deepEqual(
      [folder.mode & 0o777, folder.mtimeMs, file.mode & 0o777, file.mtimeMs, file.nlink],
      [0o500, 1e12, 0o640, 1.2e12, 2],
    );
    t.is(readlinkSync(join(inside, 'd/l')), '../nowhere');
    t.is(statSync(join(inside, 'deep/er')).mode & 0o777, 0o755);
    chmodSync(join(inside, 'd'), 0o700);
  }
});

test('a sparse file', (t) => {
  const { inside } = folders(t);
  unpack(
    inside,
    [
      pax([
        ['GNU.sparse.size', '10000'],
        ['GNU.sparse.map', '0,3,9997,3'],
      ]),
      { name: 's', body: 'abcxyz' },
    ],
    {},
    7,
  );
  const bytes = readFileSync(join(inside, 's'));
  t.is(bytes.length, 10_000);
  t.deepEqual(
    [
      bytes.toString('latin1', 0, 3),
      bytes.toString('latin1', 9997),
      bytes.subarray(3, 9997).every((byte) => byte === 0),
    ],
    ['abc', 'xyz', true],
  );
});

test('an archive that is cut short is an error', (t) => {
  const { inside } = folders(t);
  const fd = openFolder(inside);
  const unpacker = new Unpacker(hostPlace(fd, inside), { owner: 'none' });
  unpacker.push(tarball({ name: 'f', body: 'x'.repeat(2000) }).subarray(0, 1024));
  t.throws(() => unpacker.end(), { message: /ends in the middle/ });
  unpacker.close();
  closeFd(fd);
});

test("in a container links are the container's: they lead within its root, wherever they point", (t) => {
  const { base, inside, outside } = folders(t);
  mkdirSync(join(inside, 'usr/lib'), { recursive: true });
  symlinkSync('/usr/lib', join(inside, 'lib'));
  symlinkSync('../../../../out', join(inside, 'usr/up'));
  mkdirSync(join(inside, 'out'));
  const root = openFolder(inside);
  const unpacker = new Unpacker(containerPlace(root, '/'), { owner: 'none' });
  unpacker.push(
    tarball(
      { name: 'lib/x', body: 'x' },
      { name: 'usr/up/secret', body: 'theirs' },
      { name: 'h', type: '1', link: 'lib/x' },
    ),
  );
  unpacker.end();
  unpacker.close();
  closeFd(root);
  t.is(readFileSync(join(inside, 'usr/lib/x'), 'utf8'), 'x');
  t.is(readFileSync(join(inside, 'out/secret'), 'utf8'), 'theirs');
  t.is(readFileSync(join(outside, 'secret'), 'utf8'), 'secret');
  t.deepEqual(readdirSync(base).sort(), ['in', 'out']);
});
