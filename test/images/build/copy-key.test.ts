/** The key of a COPY: what decides the layer is in it, and nothing else; the same inputs give the same bytes. */
import { appendFileSync, chmodSync, cpSync, mkdirSync, renameSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'ava';
import { copyLayer, type CopyOptions } from '../../../src/images/build/copy.ts';
import { openContext } from '../../../src/images/build/files/context.ts';
import { parseIgnoreFile } from '../../../src/images/build/files/ignore.ts';
import type { CopyOperation } from '../../../src/images/build/operations.ts';
import { bytesOf, copy, type Entry, members, Place } from './stage.ts';

const FILES: Record<string, Entry> = { a: '1', 'd/b': '2', 'd/c': '3', 'd/hard': { hard: 'd/b' }, junk: '4' };

async function keyOf(
  place: Place,
  folder: string,
  operation: CopyOperation = copy('. /c'),
  options: Partial<CopyOptions> = {},
): Promise<string> {
  using context = openContext(folder, { ignore: parseIgnoreFile(Buffer.from('junk\n'), '.dockerignore') });
  const layer = await copyLayer(operation, place.view(), context, {
    unpack: { tmp: place.root, maxSize: 1 << 20 },
    ...options,
  });
  return layer.key;
}

const changes: [name: string, isSame: boolean, change: (folder: string) => void][] = [
  ['times', true, (folder) => ['a', 'd', 'd/b'].forEach((name) => utimesSync(join(folder, name), 1e9, 1e9))],
  ['what is ignored', true, (folder) => writeFileSync(join(folder, 'junk'), 'other')],
  [
    'an inode',
    true,
    (folder) => {
      cpSync(join(folder, 'a'), join(folder, 'junk'));
      renameSync(join(folder, 'junk'), join(folder, 'a'));
    },
  ],
  ['contents', false, (folder) => writeFileSync(join(folder, 'a'), '9')],
  ['contents at the end', false, (folder) => appendFileSync(join(folder, 'a'), '\n')],
  ['a mode', false, (folder) => chmodSync(join(folder, 'a'), 0o600)],
  ['the mode of a nested folder', false, (folder) => chmodSync(join(folder, 'd'), 0o700)],
  ['an empty folder more', false, (folder) => mkdirSync(join(folder, 'e'))],
  ['a name', false, (folder) => renameSync(join(folder, 'a'), join(folder, 'b'))],
  ['a place', false, (folder) => renameSync(join(folder, 'd/c'), join(folder, 'c'))],
];
for (const [name, isSame, change] of changes) {
  test(`the key ${isSame ? 'has not' : 'has'} ${name}`, async (t) => {
    using place = new Place();
    const folder = place.folder(FILES);
    const before = await keyOf(place, folder);
    change(folder);
    t.is((await keyOf(place, folder)) === before, isSame);
  });
}

test('the same context in another place has the same key', async (t) => {
  using place = new Place();
  const folder = place.folder(FILES);
  const other = join(place.root, 'other');
  cpSync(folder, other, { recursive: true });
  // cp made two files of two names of one.
  const operation = copy('a d/c /c/');
  t.is(await keyOf(place, folder, operation), await keyOf(place, other, operation));
});

test('the key has all that the instruction says', async (t) => {
  using place = new Place();
  const folder = place.folder(FILES);
  const plain = copy('d /c');
  const operations: CopyOperation[] = [
    plain,
    copy('d /other'),
    copy('d /c/'),
    copy('d/b /c'),
    copy('d/c /c'),
    { ...plain, add: true },
    { ...plain, add: true, unpack: false },
    { ...plain, chown: '1' },
    { ...plain, chmod: '1' },
    { ...plain, parents: true },
    { ...plain, exclude: ['b'] },
    copy('x /c', { sources: [{ kind: 'inline', name: 'A', data: '2' }] }),
    copy('x /c', { sources: [{ kind: 'inline', name: 'B', data: '2' }] }),
  ];
  const keys = await Promise.all(operations.map((operation) => keyOf(place, folder, operation)));
  keys.push(await keyOf(place, folder, plain, { epoch: 1 }));
  t.is(new Set(keys).size, keys.length);
});

test('the name of one file is in the key, that of a folder whose contents are copied is not', async (t) => {
  using place = new Place();
  const folder = place.folder({ f1: '1', 'd1/x': '1' });
  const [file, contents] = [await keyOf(place, folder, copy('f* /x/')), await keyOf(place, folder, copy('d* /x/'))];
  renameSync(join(folder, 'f1'), join(folder, 'f2'));
  renameSync(join(folder, 'd1'), join(folder, 'd2'));
  t.not(await keyOf(place, folder, copy('f* /x/')), file);
  t.is(await keyOf(place, folder, copy('d* /x/')), contents);
});

test('of another stage the key has owners, and contents wherever they lie in its layers', async (t) => {
  using place = new Place();
  const key = async (...layers: string[][]) => {
    const source = place.view(...layers.map((words) => place.layer(...words)));
    const options = { unpack: { tmp: place.root, maxSize: 1 << 20 } };
    return (await copyLayer(copy('/d /x'), place.view(), source, options)).key;
  };
  const once = await key(['d /d', 'f /d/a 644 1:1 x', 'f /d/b 644 1:1 y']);
  t.is(await key(['d /d', 'f /d/b 644 1:1 old'], ['d /d', 'f /d/a 644 1:1 x', 'f /d/b 644 1:1 y']), once);
  t.not(await key(['d /d', 'f /d/a 644 1:2 x', 'f /d/b 644 1:1 y']), once);
  t.not(await key(['d /d', 'f /d/a 644 1:1 z', 'f /d/b 644 1:1 y']), once);
});

test('the same inputs give the same bytes, and an epoch is after no time of the layer', async (t) => {
  using place = new Place();
  const made = async (epoch?: number) => {
    const folder = place.folder({ 'd/old': { data: '1', mtime: 1000 }, 'd/new': { data: '2', mtime: 2000 } });
    utimesSync(join(folder, 'd'), 1500, 1500);
    using context = openContext(folder);
    const view = place.view(place.layer({ name: 'at/', type: '5', mtime: 3000 }));
    const layer = await copyLayer(copy('d /at/made/x'), view, context, {
      unpack: { tmp: place.root, maxSize: 1 << 20 },
      epoch,
    });
    return await bytesOf(layer.write());
  };
  const plain = await made();
  t.true(plain.equals(await made()));
  const times = (tar: Buffer) => members(tar, place).map((line) => / @(\d+)$/.exec(line)?.[1]);
  t.deepEqual(times(plain), ['3000', '2000', '2000', '2000', '1000'], 'what is made is as old as the newest file');
  t.deepEqual(times(await made(1200)), ['1200', '1200', '1200', '1200', '1000']);
});
