/** `-o FOLDER` and `-o -`: what a stranger's layers may write, and what they may not. */
import {
  chmodSync,
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import test from 'ava';
import { writeFolder, writeTar } from '../../../../src/engine/build/export/output-files.ts';
import type { Layer } from '../../../../src/images/store/contract.ts';
import type { TarEntry } from '../../../../src/tar/entry.ts';
import { TarParser } from '../../../../src/tar/parser.ts';
import { paddingOf, TAR_END, tarHeader, type NewMember } from '../../../../src/tar/write.ts';
import { temporaryFolder } from '../../../fixtures/temporary.ts';

type Member = NewMember & { data?: string };

function layerOf(folder: string, name: string, members: Member[]): Layer {
  const tar = join(folder, name);
  writeFileSync(
    tar,
    Buffer.concat([
      ...members.flatMap(({ data = '', ...member }) => {
        const body = Buffer.from(data);
        return [tarHeader({ ...member, size: body.length }), body, paddingOf(body.length)];
      }),
      TAR_END,
    ]),
  );
  return { diffId: `sha256:${name}`, tar, size: statSync(tar).size };
}

async function written(members: Member[], prepare: (out: string) => void = () => {}) {
  const folder = temporaryFolder('husk-output-');
  const out = join(folder, 'out');
  mkdirSync(out);
  prepare(out);
  const notes: string[] = [];
  await writeFolder(out, [layerOf(folder, 'layer', members)], { note: (text) => notes.push(text) });
  return { folder, out, notes };
}

test('files, folders, links and hard links, as the caller and without setuid', async (t) => {
  const { out } = await written([
    { type: 'directory', path: 'd/', mode: 0o2750, uid: 7, gid: 7 },
    { type: 'file', path: 'd/f', mode: 0o4755, uid: 7, gid: 7, data: 'one' },
    { type: 'hardlink', path: 'd/h', linkname: 'd/f' },
    { type: 'symlink', path: 'l', linkname: '/etc/passwd' },
  ]);
  t.is(readFileSync(join(out, 'd/f'), 'utf8'), 'one');
  t.is(statSync(join(out, 'd/f')).mode & 0o7777, 0o755);
  t.is(statSync(join(out, 'd')).mode & 0o7777, 0o750);
  t.is(statSync(join(out, 'd/f')).uid, process.getuid!());
  t.is(statSync(join(out, 'd/f')).ino, statSync(join(out, 'd/h')).ino);
  t.is(readlinkSync(join(out, 'l')), '/etc/passwd');
});

test('devices and named pipes are left out, with a line', async (t) => {
  const { out, notes } = await written([
    { type: 'char', path: 'null', deviceMajor: 1, deviceMinor: 3 },
    { type: 'fifo', path: 'p' },
    { type: 'file', path: 'f', data: 'x' },
  ]);
  t.deepEqual(readdirSync(out), ['f']);
  t.deepEqual(notes, ['null is left out: a device', 'p is left out: a named pipe']);
});

test('a folder that may not be written to gets its mode when all is in it', async (t) => {
  const { out } = await written([
    { type: 'directory', path: 'd/', mode: 0o555 },
    { type: 'file', path: 'd/f', data: 'x' },
  ]);
  t.is(readFileSync(join(out, 'd/f'), 'utf8'), 'x');
  t.is(statSync(join(out, 'd')).mode & 0o777, 0o555);
  chmodSync(join(out, 'd'), 0o755);
});

test('attack: a link in the destination is replaced, and not written through', async (t) => {
  const folder = temporaryFolder('husk-output-');
  const victim = join(folder, 'victim');
  writeFileSync(victim, 'mine');
  const { out } = await written([{ type: 'file', path: 'f', data: 'theirs' }], (at) =>
    symlinkSync(victim, join(at, 'f')),
  );
  t.is(readFileSync(victim, 'utf8'), 'mine');
  t.is(readFileSync(join(out, 'f'), 'utf8'), 'theirs');
  t.false(lstatSync(join(out, 'f')).isSymbolicLink());
});

test('attack: a link to a folder in the destination leads nowhere', async (t) => {
  const folder = temporaryFolder('husk-output-');
  mkdirSync(join(folder, 'victim'));
  await t.throwsAsync(
    written([{ type: 'file', path: 'd/f', data: 'x' }], (at) => symlinkSync(join(folder, 'victim'), join(at, 'd'))),
    { message: /^cannot write d in / },
  );
  t.deepEqual(readdirSync(join(folder, 'victim')), []);
});

test('attack: a link of the image, and a file below it in a later layer, stays in the folder', async (t) => {
  const folder = temporaryFolder('husk-output-');
  const out = join(folder, 'out');
  const layers = [
    layerOf(folder, 'one', [{ type: 'symlink', path: 'd', linkname: folder }]),
    layerOf(folder, 'two', [
      { type: 'directory', path: 'd/' },
      { type: 'file', path: 'd/f', data: 'x' },
    ]),
  ];
  await writeFolder(out, layers, { note: () => {} });
  t.true(lstatSync(join(out, 'd')).isDirectory());
  t.false(existsSync(join(folder, 'f')));
});

test('what is there already stays, but for a file whose place is taken', async (t) => {
  const { out } = await written([{ type: 'file', path: 'f', data: 'new' }], (at) => {
    writeFileSync(join(at, 'f'), 'old');
    writeFileSync(join(at, 'mine'), 'kept');
  });
  t.is(readFileSync(join(out, 'f'), 'utf8'), 'new');
  t.is(readFileSync(join(out, 'mine'), 'utf8'), 'kept');
});

test('a folder that cannot be made is told', async (t) => {
  const folder = temporaryFolder('husk-output-');
  writeFileSync(join(folder, 'file'), '');
  const cases: [place: string, message: RegExp][] = [
    ['/proc/nope', /^cannot make the folder \/proc\/nope: no such file or directory$/],
    [join(folder, 'file/below'), /^cannot make the folder \S+\/file\/below: not a directory$/],
    [join(folder, 'file'), /^cannot make the folder \S+\/file: file exists$/],
  ];
  for (const [place, message] of cases) await t.throwsAsync(writeFolder(place, [], { note: () => {} }), { message });
  await writeFolder(join(folder, 'a/b/../c'), [], { note: () => {} });
  t.true(existsSync(join(folder, 'a/c')));
  t.false(existsSync(join(folder, 'a/b')));
});

test('a file that would replace a folder is refused by its name', async (t) => {
  await t.throwsAsync(
    written([{ type: 'file', path: 'f', data: 'x' }], (at) => mkdirSync(join(at, 'f'))),
    { message: /^cannot write f in / },
  );
});

test('a file that cannot be written whole is not there', async (t) => {
  const folder = temporaryFolder('husk-output-');
  const layer = layerOf(folder, 'layer', [
    { type: 'file', path: 'a', data: 'whole' },
    { type: 'file', path: 'f', data: 'x'.repeat(1 << 20) },
  ]);
  truncateSync(layer.tar, 1 << 19);
  const out = join(folder, 'out');
  await t.throwsAsync(writeFolder(out, [layer], { note: () => {} }), { message: /shorter than/ });
  t.deepEqual(readdirSync(out), ['a']);
});

test('the tar has everything, owners and devices too, in one order', async (t) => {
  const folder = temporaryFolder('husk-output-');
  const layers = [
    layerOf(folder, 'one', [
      { type: 'file', path: 'z', data: 'old' },
      { type: 'file', path: 'gone', data: 'x' },
      { type: 'char', path: 'dev', deviceMajor: 1, deviceMinor: 3, mode: 0o666 },
    ]),
    layerOf(folder, 'two', [
      { type: 'file', path: 'z', mode: 0o4755, uid: 5, gid: 6, data: 'new' },
      { type: 'file', path: '.wh.gone' },
      { type: 'file', path: 'a/b', data: 'deep' },
    ]),
  ];
  const stream = new PassThrough();
  const [bytes] = await Promise.all([buffer(stream), writeTar(stream, layers).then(() => stream.end())]);
  const entries: TarEntry[] = [];
  const parser = new TarParser((entry) => entries.push(entry));
  parser.push(bytes);
  parser.end();
  t.deepEqual(
    entries.map(({ path, type, mode, uid, gid, size }) => [path, type, mode, uid, gid, size]),
    [
      ['a', 'directory', 0o755, 0, 0, 0],
      ['a/b', 'file', 0o644, 0, 0, 4],
      ['dev', 'char', 0o666, 0, 0, 0],
      ['z', 'file', 0o4755, 5, 6, 3],
    ],
  );
});
