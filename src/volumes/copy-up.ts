/**
 * `husk --internal volume-copy-up JSON`: runs as root of the user namespace, copies folders of an image's root into volumes, and gives folders to the
 * image's user (the option `U`). The image is hostile: its paths are resolved within its root, by hand, as chroot would; nothing else changes the tree
 * meanwhile. Prints the destinations that it copied, one a line.
 */
import { spawnSync } from 'node:child_process';
import { lstatSync, readFileSync, readlinkSync } from 'node:fs';
import { join, posix } from 'node:path';

/** MAXSYMLINKS of include/linux/namei.h */
const MAX_SYMLINKS = 40;

export interface CopyUpJob {
  root: string;
  copies: { destination: string; into: string }[];
  /** `name|uid[:group|gid]` as `--user` has it, and the folders that are to be that user's */
  owner?: { user: string; paths: string[] };
}

/** bytes of the image's /etc/passwd or /etc/group; what guest/init/user.c reads of them */
const MAX_FILE = 1 << 20;
/** what Docker takes for an id: a signed 32-bit number */
const MAX_ID = 0x7fff_ffff;

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
  return job.owner === undefined ? 0 : giveTo(job.root, job.owner);
}

function giveTo(root: string, { user, paths }: NonNullable<CopyUpJob['owner']>): number {
  const database = (path: string): string => {
    const file = resolveInRoot(root, path);
    const stat = file === undefined ? undefined : lstatSync(file);
    return stat?.isFile() && stat.size <= MAX_FILE ? readFileSync(file!, 'latin1') : '';
  };
  const owner = findOwner(user, { passwd: database('/etc/passwd'), group: database('/etc/group') });
  if (typeof owner === 'string') {
    process.stderr.write(`${owner}\n`);
    return 1;
  }
  const { status, stderr } = spawnSync('chown', ['--recursive', '--no-dereference', `${owner.uid}:${owner.gid}`, '--', ...paths], { encoding: 'utf8', stdio: ['ignore', 'ignore', 'pipe'] });
  if (status !== 0) process.stderr.write(`${stderr.split('\n')[0] ?? 'chown failed'}\n`);
  return status === 0 ? 0 : 1;
}

/**
 * The ids of a `--user`, by the image's own files: a number needs no entry, a user's group is that of the entry, else 0.
 * @returns Docker's text when there is no such user or group
 */
export function findOwner(user: string, files: { passwd: string; group: string }): { uid: number; gid: number } | string {
  const [name = '', group] = user.split(':');
  const id = (text: string | undefined) => (text !== undefined && /^\d{1,10}$/.test(text) && Number(text) <= MAX_ID ? Number(text) : undefined);
  const entry = (text: string, key: string) => text.split('\n').map((line) => line.split(':')).find(([first, , number]) => first === key || (id(key) !== undefined && number === key));
  const account = name === '' ? undefined : entry(files.passwd, name);
  const uid = name === '' ? 0 : (id(account?.[2]) ?? id(name));
  if (uid === undefined) return `unable to find user ${name}: no matching entries in passwd file`;
  if (group === undefined || group === '') return { uid, gid: id(account?.[3]) ?? 0 };
  const gid = id(entry(files.group, group)?.[2]) ?? id(group);
  return gid === undefined ? `unable to find group ${group}: no matching entries in group file` : { uid, gid };
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
