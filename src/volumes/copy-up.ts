/**
 * `husk --internal volume-copy-up JSON`: runs as root of the user namespace and copies folders of an image's root into volumes.
 * The image is hostile: its paths are resolved within its root, by hand, as chroot would; nothing else changes the tree meanwhile.
 * Prints the destinations that it copied, one a line.
 */
import { spawnSync } from 'node:child_process';
import { lstatSync, readlinkSync } from 'node:fs';
import { join, posix } from 'node:path';

/** MAXSYMLINKS of include/linux/namei.h */
const MAX_SYMLINKS = 40;

export interface CopyUpJob {
  root: string;
  copies: { destination: string; into: string }[];
}

/** @returns the exit code */
export async function main(args: string[]): Promise<number> {
  const job = JSON.parse(args[0] ?? '') as CopyUpJob;
  for (const { destination, into } of job.copies) {
    const source = resolveInRoot(job.root, destination);
    if (source === undefined || !lstatSync(source).isDirectory()) continue;
    const { status, stderr } = spawnSync('cp', ['--archive', '--no-target-directory', '--', source, into], { encoding: 'utf8', stdio: ['ignore', 'ignore', 'pipe'] });
    if (status !== 0) {
      process.stderr.write(`${destination}: ${stderr.split('\n')[0] ?? 'cp failed'}\n`);
      return 1;
    }
    process.stdout.write(`${destination}\n`);
  }
  return 0;
}

/** The host path of an in-root path, with every symbolic link followed inside the root; undefined when something is missing. */
export function resolveInRoot(root: string, path: string): string | undefined {
  const left = path.split('/').filter((part) => part !== '' && part !== '.');
  let at = '/';
  let links = 0;
  while (left.length > 0) {
    const part = left.shift()!;
    if (part === '..') {
      at = posix.dirname(at);
      continue;
    }
    const next = posix.join(at, part);
    const stat = lstatSync(join(root, next), { throwIfNoEntry: false });
    if (stat === undefined) return undefined;
    if (!stat.isSymbolicLink()) {
      if (left.length > 0 && !stat.isDirectory()) return undefined;
      at = next;
      continue;
    }
    if (++links > MAX_SYMLINKS) return undefined;
    const target = readlinkSync(join(root, next));
    if (target.startsWith('/')) at = '/';
    left.unshift(...target.split('/').filter((piece) => piece !== '' && piece !== '.'));
  }
  return join(root, at);
}
