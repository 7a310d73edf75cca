/** node-tar, which shares no code with ours, reads what husk writes and writes what husk reads. */
import { linkSync, mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'ava';
import { create, Parser, type ReadEntry } from 'tar';
import { fromText } from '../../src/tar/byte-string.ts';
import type { TarEntry } from '../../src/tar/entry.ts';
import { TarParser } from '../../src/tar/parser.ts';
import { type NewMember, paddingOf, TAR_END, tarHeader } from '../../src/tar/write.ts';
import { temporaryFolder } from '../fixtures/temporary.ts';

const deep = (length: number) => `${'d'.repeat(49)}/`.repeat(Math.ceil(length / 50)).slice(0, length - 1) + 'e';

/** what node-tar makes of an archive */
function readByNodeTar(archive: Buffer): { entry: ReadEntry; content: string }[] {
  const read: { entry: ReadEntry; content: string }[] = [];
  const parser = new Parser({
    strict: true,
    onReadEntry: (entry) => {
      const member = { entry, content: '' };
      read.push(member);
      entry.on('data', (chunk: Buffer) => (member.content += chunk.toString()));
    },
  });
  parser.end(archive);
  return read;
}

const WRITTEN: [title: string, made: NewMember, type: string][] = [
  ['a file', { type: 'file', path: 'a/b', mode: 0o4755, uid: 5, gid: 6, mtime: 1_600_000_000 }, 'File'],
  ['a folder', { type: 'directory', path: 'a/', mode: 0o1777 }, 'Directory'],
  ['a symbolic link', { type: 'symlink', path: 'a', linkname: '/b' }, 'SymbolicLink'],
  ['a hard link', { type: 'hardlink', path: 'a', linkname: 'b' }, 'Link'],
  ['a device', { type: 'char', path: 'a', deviceMajor: 1, deviceMinor: 3 }, 'CharacterDevice'],
  ['a FIFO', { type: 'fifo', path: 'a' }, 'FIFO'],
  ['a path that fits the prefix', { type: 'file', path: deep(250) }, 'File'],
  ['a path too long for the prefix', { type: 'file', path: deep(300) }, 'File'],
  ['a long target', { type: 'symlink', path: 'a', linkname: 'f'.repeat(101) }, 'SymbolicLink'],
  ['a name in UTF-8', { type: 'file', path: fromText('café'.repeat(40)) }, 'File'],
  ['a larger owner', { type: 'file', path: 'a', uid: 0o10000000, gid: 0xfffffffe }, 'File'],
];
for (const [title, made, type] of WRITTEN)
  test(`node-tar reads ${title}`, (t) => {
    const [read, ...more] = readByNodeTar(Buffer.concat([tarHeader(made), TAR_END]));
    t.deepEqual(more, []);
    const { path, linkpath = '', mode, uid, gid, mtime } = read!.entry;
    t.deepEqual({ type: read!.entry.type, path: fromText(path), linkname: fromText(linkpath), mode, uid, gid, mtime }, {
      type,
      path: made.path,
      linkname: made.linkname ?? '',
      mode: made.mode ?? 0o644,
      uid: made.uid ?? 0,
      gid: made.gid ?? 0,
      mtime: new Date((made.mtime ?? 0) * 1000),
    } as never);
  });

test('node-tar reads what a file holds, and the next member behind it', (t) => {
  const content = Buffer.from('hello');
  const archive = Buffer.concat([
    tarHeader({ type: 'file', path: 'a', size: content.length }),
    content,
    paddingOf(content.length),
    tarHeader({ type: 'file', path: 'b' }),
    TAR_END,
  ]);
  t.deepEqual(
    readByNodeTar(archive).map(({ entry, content }) => [entry.path, content]),
    [
      ['a', 'hello'],
      ['b', ''],
    ],
  );
});

const reading = (title: string, portable: boolean) =>
  test(`husk reads what node-tar writes: ${title}`, async (t) => {
    const folder = temporaryFolder('husk-node-tar-');
    mkdirSync(join(folder, deep(200), deep(120)), { recursive: true });
    writeFileSync(join(folder, deep(200), deep(120), 'file'), 'deep');
    writeFileSync(join(folder, 'café'.repeat(40)), 'name');
    writeFileSync(join(folder, 'a'), 'hello');
    linkSync(join(folder, 'a'), join(folder, 'hard'));
    symlinkSync('t'.repeat(150), join(folder, 'soft'));
    const entries: TarEntry[] = [];
    const parser = new TarParser((entry) => entries.push(entry));
    // With more jobs than one it has been seen to wait for the other name of a file forever.
    for await (const chunk of create({ cwd: folder, portable, jobs: 1 }, ['.'])) parser.push(chunk as Buffer);
    parser.end();
    const found = new Map(entries.map(({ type, path, linkname, size }) => [path, { type, linkname, size }]));
    const isFile = { type: 'file', linkname: '', size: 4 };
    t.deepEqual(found.get(`${deep(200)}/${deep(120)}/file`), isFile as never);
    t.deepEqual(found.get(fromText('café'.repeat(40))), isFile as never);
    t.deepEqual(found.get('soft'), { type: 'symlink', linkname: 't'.repeat(150), size: 0 });
    // whichever of the two comes first is the file
    const pair = [found.get('a')!, found.get('hard')!].sort((one, other) => other.size - one.size);
    t.deepEqual(
      pair.map(({ type, size }) => [type, size]),
      [
        ['file', 5],
        ['hardlink', 0],
      ],
    );
  });
reading('with times and owners', false);
reading('the same bytes on any machine', true);
