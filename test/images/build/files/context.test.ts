/** A context is read beneath its folder and nowhere else, whatever lies in it and whatever happens meanwhile. */
import { createHash } from 'node:crypto';
import { execFileSync } from 'node:child_process';
import {
  closeSync,
  ftruncateSync,
  mkdirSync,
  openSync,
  readdirSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  utimesSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { createServer } from 'node:net';
import { once } from 'node:events';
import { join } from 'node:path';
import test from 'ava';
import { copyLayer } from '../../../../src/images/build/copy.ts';
import { type Context, openContext } from '../../../../src/images/build/files/context.ts';
import { parseIgnoreFile } from '../../../../src/images/build/files/ignore.ts';
import { View } from '../../../../src/images/build/files/view.ts';
import { scanTar } from '../../../../src/tar/scan.ts';
import type { TarEntry } from '../../../../src/tar/entry.ts';
import { bytesOf, copy, members, Place } from '../stage.ts';

const unpack = (place: Place) => ({ unpack: { tmp: place.root, maxSize: 1 << 20 } });
const withoutTimes = (lines: string[]) => lines.map((line) => line.replace(/ @\d+$/, ''));
const TIME = 1_600_000_000;
const isRoot = process.getuid!() === 0;

test('FIFOs are copied without being opened, sockets are left out with a note', async (t) => {
  using place = new Place();
  const folder = place.folder({ 'd/x': '1' });
  execFileSync('mkfifo', ['-m', '640', join(folder, 'd/p')]);
  const server = createServer().listen(join(folder, 'd/s'));
  await once(server, 'listening');
  const notes: string[] = [];
  using context = openContext(folder, { note: (text) => notes.push(text) });
  const layer = await copyLayer(copy('d /d'), View.of([]), context, unpack(place));
  t.deepEqual(withoutTimes(members(await bytesOf(layer.write()), place)), [
    'd 755 0:0 d/',
    'p 640 0:0 d/p',
    "f 644 0:0 d/x '1'",
  ]);
  t.deepEqual(notes, ['the socket d/s is left out of the build']);
  server.close();
});

(isRoot ? test : test.skip)('a device is refused', async (t) => {
  using place = new Place();
  const folder = place.folder({ 'd/x': '1' });
  execFileSync('mknod', [join(folder, 'd/null'), 'c', '1', '3']);
  using context = openContext(folder);
  await t.throwsAsync(
    copyLayer(copy('d /d'), View.of([]), context, unpack(place)).then((layer) => bytesOf(layer.write())),
    { message: 'cannot copy null of the context: it is a device' },
  );
});

test('what is ignored is never opened', (t) => {
  using place = new Place();
  const folder = place.folder({ 'secret/x': '1', 'secret/deep/y': '2', a: '3' });
  // With its time of access set back, the next look into the folder would move it.
  utimesSync(join(folder, 'secret'), 1, TIME);
  using context = openContext(folder, { ignore: parseIgnoreFile(Buffer.from('secret\n!b/*\n'), '.dockerignore') });
  t.is(context.child(context.root, 'secret'), undefined);
  t.deepEqual(context.names(context.root), ['a']);
  t.is(statSync(join(folder, 'secret')).atimeMs, 1000);
  t.true(readdirSync(join(folder, 'secret')).length > 0);
  if (statSync(join(folder, 'secret')).atimeMs === 1000) t.log('this file system keeps no times of access');
});

/** Changes something between the look and the read. */
const races: [name: string, change: (folder: string) => void][] = [
  [
    'a folder that becomes a link out',
    (folder) => {
      renameSync(join(folder, 'd'), join(folder, '..', 'aside'));
      symlinkSync('/etc', join(folder, 'd'));
    },
  ],
  [
    'a file that becomes a link out',
    (folder) => {
      rmSync(join(folder, 'd/passwd'));
      symlinkSync('/etc/passwd', join(folder, 'd/passwd'));
    },
  ],
  [
    'a file that becomes a FIFO',
    (folder) => {
      rmSync(join(folder, 'd/passwd'));
      execFileSync('mkfifo', [join(folder, 'd/passwd')]);
    },
  ],
  ['a file that becomes shorter', (folder) => truncateSync(join(folder, 'd/passwd'), 1)],
  [
    'a file that becomes another of the same size',
    (folder) => {
      writeFileSync(join(folder, 'new'), 'mine');
      renameSync(join(folder, 'new'), join(folder, 'd/passwd'));
    },
  ],
];
/** A folder that is held open stays what it is, whatever its name becomes; then it would not be opened again. */
const openAnother = (context: Context) => context.names(context.child(context.root, 'other')!);

for (const [name, change] of races) {
  for (const size of [4, 100_000]) {
    test(`${name} of ${size} bytes, before it is hashed: refused`, async (t) => {
      using place = new Place();
      const folder = place.folder({ 'd/passwd': 'm'.repeat(size), 'other/x': '' });
      using context = openContext(folder);
      const d = context.child(context.root, 'd')!;
      t.deepEqual(context.names(d), ['passwd']);
      const file = context.child(d, 'passwd')!;
      openAnother(context);
      change(folder);
      await t.throwsAsync(async () => context.digest(file), {
        message: /^d(\/passwd)? changed in the context while it was read$/,
      });
    });

    test(`${name} of ${size} bytes, before it is copied: refused, or the bytes of the key`, async (t) => {
      using place = new Place();
      const text = 'm'.repeat(size);
      const folder = place.folder({ 'd/passwd': text, 'other/x': '' });
      using context = openContext(folder);
      const layer = await copyLayer(copy('d/passwd /p'), View.of([]), context, unpack(place));
      openAnother(context);
      change(folder);
      const written = bytesOf(layer.write());
      if (size > 64 << 10) await t.throwsAsync(written, { message: /^d(\/passwd)? changed in the context/ });
      else t.true((await written).includes(text), 'small files are kept since they were hashed');
    });
  }
}

test('reads a Dockerfile beneath the context alone', (t) => {
  using place = new Place();
  writeFileSync(join(place.root, 'outside'), 'secret');
  const context = place.context({
    Dockerfile: 'FROM x',
    within: { link: 'Dockerfile' },
    out: { link: '../outside' },
    absolute: { link: '/etc/passwd' },
    dir: { dir: true },
  });
  t.is(context.readFile('Dockerfile', 10)?.toString(), 'FROM x');
  t.is(context.readFile('within', 10)?.toString(), 'FROM x');
  t.is(context.readFile('none', 10), undefined);
  for (const [name, message] of [
    ['out', /it is a link that leads out$/],
    ['absolute', /it is a link that leads out$/],
    ['../outside', /it is a link that leads out$/],
    ['dir', /it is no regular file$/],
  ] as const)
    t.throws(() => context.readFile(name, 10), { message });
  t.throws(() => context.readFile('Dockerfile', 3), { message: /it has 6 bytes, more than 3$/ });
});

test('a context that is not there, or is no folder', (t) => {
  using place = new Place();
  const folder = place.folder({ f: '1' });
  t.throws(() => openContext(join(folder, 'none')), {
    message: /^cannot open the context .*: no such file or directory$/,
  });
  t.throws(() => openContext(join(folder, 'f')), { message: /^cannot open the context .*: not a directory$/ });
});

test('a sparse file of 10 GB costs neither memory nor room', async (t) => {
  using place = new Place();
  const folder = place.folder({});
  const size = 10e9;
  const fd = openSync(join(folder, 'big'), 'w');
  writeSync(fd, 'start', 0);
  writeSync(fd, 'end', 6e9);
  ftruncateSync(fd, size);
  closeSync(fd);
  using context = openContext(folder);
  const node = context.child(context.root, 'big')!;
  // The key would take seconds: the digest is what a hash of ten gigabytes costs anywhere.
  node.digest = '0'.repeat(64);
  const layer = await copyLayer(copy('big /'), View.of([]), context, unpack(place));
  const before = process.memoryUsage().rss;
  const tar = await bytesOf(layer.write());
  t.true(tar.length < 1 << 20, `${tar.length} bytes`);
  t.true(process.memoryUsage().rss - before < 64 << 20);
  const { tar: file } = place.layerOf(tar);
  const entries: TarEntry[] = [];
  scanTar(file, (entry) => entries.push(entry));
  t.is(entries[0]?.size, size);
  t.is(entries[0]?.path, 'big');
  t.true(entries[0]!.sparse!.some(({ offset, length }) => offset <= 6e9 && offset + length >= 6e9 + 3));
  // Another reader of the form: GNU tar.
  t.regex(execFileSync('tar', ['tvf', file], { encoding: 'utf8' }), / 10000000000 .* big$/m);
});

test('holes are zeros to the digest', async (t) => {
  using place = new Place();
  const folder = place.folder({});
  const whole = Buffer.alloc(5 << 20);
  whole.write('x', 3 << 20);
  const fd = openSync(join(folder, 'big'), 'w');
  ftruncateSync(fd, whole.length);
  writeSync(fd, 'x', 3 << 20);
  closeSync(fd);
  writeFileSync(join(folder, 'same'), whole);
  using context = openContext(folder);
  const digest = createHash('sha256').update(whole).digest('hex');
  for (const name of ['big', 'same']) t.is(await context.digest(context.child(context.root, name)!), digest);
});

test('names that are no text, and as long as names may be', async (t) => {
  using place = new Place();
  const folder = place.folder({});
  const odd = Buffer.concat([Buffer.from(`${folder}/`), Buffer.from([0x66, 0xff, 0x0a])]);
  writeFileSync(odd, 'odd');
  let deep = folder;
  for (let depth = 0; depth < 12; depth++) mkdirSync((deep = join(deep, 'd'.repeat(255))));
  writeFileSync(join(deep, 'f'), 'deep');
  using context = openContext(folder);
  const layer = await copyLayer(copy('. /'), View.of([]), context, unpack(place));
  const lines = members(await bytesOf(layer.write()), place);
  t.is(lines.length, 14);
  t.true(lines.some((line) => line.includes("'odd'")));
  t.true(lines.some((line) => line.includes(`${'d'.repeat(255)}/f 'deep'`)));
});

test('a hundred thousand names are fine', async (t) => {
  using place = new Place();
  const folder = place.folder({});
  for (let at = 0; at < 100; at++) {
    mkdirSync(join(folder, `d${at}`));
    for (let link = 0; link < 1000; link++) symlinkSync('x', join(folder, `d${at}/l${link}`));
  }
  using context = openContext(folder);
  const layer = await copyLayer(copy('. /'), View.of([]), context, unpack(place));
  let size = 0;
  for await (const piece of layer.write()) size += piece.length;
  t.is(size, 512 * 100_100 + 1024);
  t.true(process.memoryUsage().rss < 600 << 20);
});
