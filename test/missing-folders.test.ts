/** Folders by paths from outside: made, found, or refused; always with an end. */
import { existsSync, mkdtempSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import { makeMissingFolders } from '../src/missing-folders.ts';

test('made with what is missing above it, and found', (t) => {
  const root = mkdtempSync(join(tmpdir(), 'husk-folder-'));
  t.teardown(() => rmSync(root, { recursive: true }));
  t.is(makeMissingFolders(join(root, 'a/b/c'), 0o700), join(root, 'a'));
  t.is(statSync(join(root, 'a/b')).mode & 0o777, 0o700);
  t.is(makeMissingFolders(join(root, 'a/b/c'), 0o755), undefined);
  t.is(makeMissingFolders('/', 0o755), undefined);
  symlinkSync('a', join(root, 'link'));
  t.is(makeMissingFolders(join(root, 'link/d'), 0o700), join(root, 'link/d'));
  t.true(existsSync(join(root, 'a/d')));
});

const REFUSED: [path: string, code: string][] = [
  // mkdir of node:fs never comes back from these two
  ['/proc/nosuch', 'ENOENT'],
  ['/proc/nosuch/deeper', 'ENOENT'],
  ['file', 'EEXIST'],
  ['file/x', 'ENOTDIR'],
  ['dangling', 'EEXIST'],
  ['dangling/x', 'EEXIST'],
];
for (const [path, code] of REFUSED)
  test(`refused: ${path}`, (t) => {
    const root = mkdtempSync(join(tmpdir(), 'husk-folder-'));
    t.teardown(() => rmSync(root, { recursive: true }));
    writeFileSync(join(root, 'file'), '');
    symlinkSync('nosuch', join(root, 'dangling'));
    t.throws(() => makeMissingFolders(path.startsWith('/') ? path : join(root, path), 0o700), { code });
  });
