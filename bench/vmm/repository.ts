/**
 * What `git status` is measured on: a repository as a project's clone is, its objects in one pack, and the least root
 * file system in which git runs. The same files with the same contents every time.
 */
import { execFileSync } from 'node:child_process';
import { copyFileSync, mkdirSync, utimesSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';

/** folders of a folder, and files of each of the lowest: 3,900 files in 372 folders */
const PARTS = 12;
const WINGS = 5;
const ROOMS = 5;
const FILES = 13;
/** bytes of the smallest and the largest file */
const SMALLEST = 300;
const LARGEST = 8000;
/** seconds since 1970; git trusts a file's time only when it is older than the index */
const WRITTEN = 1_700_000_000;

/** Writes `repository.tar`, whose root is a work tree without changes. @param folder where */
export function makeRepository(folder: string): void {
  const tree = join(folder, 'repository');
  let size = SMALLEST;
  for (let part = 0; part < PARTS; part++)
    for (let wing = 0; wing < WINGS; wing++)
      for (let room = 0; room < ROOMS; room++) {
        const place = join(tree, `part-${part}`, `wing-${wing}`, `room-${room}`);
        mkdirSync(place, { recursive: true });
        for (let file = 0; file < FILES; file++) {
          const line = `const part${part}Wing${wing}Room${room}File${file} = ${size};\n`;
          writeFileSync(join(place, `file-${file}.ts`), line.repeat(Math.ceil(size / line.length)));
          size = SMALLEST + ((size * 31 + 17) % (LARGEST - SMALLEST));
        }
      }
  writeFileSync(join(tree, '.gitignore'), '/dist\n/build\nnode_modules\n*.log\n');
  const git = (...args: string[]) =>
    execFileSync('git', ['-c', 'user.name=bench', '-c', 'user.email=bench@example.org', ...args], { cwd: tree });
  git('init', '-q');
  git('add', '.');
  git('commit', '-q', '-m', 'bench');
  git('gc', '-q');
  execFileSync('tar', ['--mtime', `@${WRITTEN}`, '-cf', join(folder, 'repository.tar'), '-C', tree, '.']);
  execFileSync('rm', ['-r', tree]);
}

/** Makes `git-root` and, of the same files, the initramfs `git.cpio`. @param init the guest's program */
export function makeGitRoot(folder: string, init: string): void {
  const tree = join(folder, 'git-root');
  const git = execFileSync('sh', ['-c', 'readlink -f "$(command -v git)"'], { encoding: 'utf8' }).trim();
  const libraries = execFileSync('ldd', [git], { encoding: 'utf8' }).match(/\/\S+/g) ?? [];
  for (const folderOf of ['bin', 'mnt', 'dev', 'proc']) mkdirSync(join(tree, folderOf), { recursive: true });
  copyFileSync(init, join(tree, 'init'));
  copyFileSync(git, join(tree, 'bin/git'));
  for (const library of libraries) {
    mkdirSync(join(tree, dirname(library)), { recursive: true });
    copyFileSync(library, join(tree, library));
  }
  utimesSync(tree, WRITTEN, WRITTEN);
  execFileSync('sh', ['-c', 'find . | cpio -o -H newc --quiet >../git.cpio'], { cwd: tree });
}
