/**
 * Deletes and measures trees that hold files of subordinate ids. The plain way is tried first: most trees belong to the
 * caller alone, and a namespace costs a few process starts.
 */
import { spawn } from 'node:child_process';
import { lstat, readdir, rm, rmdir } from 'node:fs/promises';
import { join } from 'node:path';
import { causeOf, HuskError } from '../errors.ts';
import { MAX_SAID, namespaceProgramOutput } from './namespace.ts';

/**
 * errors that a process with the namespace's capabilities does not get, and that of a path too long for one call
 * (ENAMETOOLONG)
 */
const NEEDS_NAMESPACE = new Set(['EACCES', 'EPERM', 'ENAMETOOLONG']);
/**
 * Deletes a tree; a missing one is no error. The deletion never follows a symbolic link and never crosses a mount.
 * @throws HuskError naming the path when even the namespace's root cannot delete it
 */
export async function removeTree(path: string): Promise<void> {
  // overlay leaves work/work with mode 000: it cannot be listed, but as it is empty it can be removed.
  await rmdir(join(path, 'work/work')).catch(() => {});
  try {
    await rm(path, { recursive: true, force: true });
  } catch (error) {
    if (!NEEDS_NAMESPACE.has((error as NodeJS.ErrnoException).code ?? ''))
      throw new HuskError(`cannot delete ${path}: ${causeOf(error)}`, { kind: 'internal', cause: error });
    await run(['rm', '-rf', '--one-file-system', '--', path], `cannot delete ${path}`);
  }
}

/**
 * Deletes a tree that a guest may be changing meanwhile: by rm(1), which goes from descriptor to descriptor, where
 * removeTree goes by paths, in which a folder could become a link to anywhere between the look and the deletion.
 * @throws HuskError naming the path
 */
export async function removeLiveTree(path: string): Promise<void> {
  await run(['rm', '-rf', '--one-file-system', '--', path], `cannot delete ${path}`);
}

/**
 * @returns bytes of the files and links below a path, as Docker counts them (moby daemon/internal/directory): their
 * sizes, hard links once, no folders. Files that vanish meanwhile count nothing.
 */
export async function treeSize(path: string): Promise<number> {
  try {
    const total = new Total();
    const walk = async (at: string): Promise<void> => {
      const stat = await lstat(at).catch(ignoreAbsent);
      if (!stat?.isDirectory()) return stat && total.add(stat.size, stat.nlink, `${stat.dev}:${stat.ino}`);
      for (const name of (await readdir(at).catch(ignoreAbsent)) ?? []) await walk(join(at, name));
    };
    await walk(path);
    return total.bytes;
  } catch (error) {
    if (!NEEDS_NAMESPACE.has((error as NodeJS.ErrnoException).code ?? '')) throw error;
    return measureByFind(path);
  }
}

class Total {
  bytes = 0;
  readonly #seen = new Set<string>();

  add(size: number, links: number, inode: string): void {
    if (links > 1 && this.#seen.has(inode)) return;
    if (links > 1) this.#seen.add(inode);
    this.bytes += size;
  }
}

/**
 * Measures by find(1), which goes through folders that are closed to the caller, however deep they are. find prints
 * numbers only, because the names are a container's and hostile.
 */
async function measureByFind(path: string): Promise<number> {
  const total = new Total();
  let rest = '';
  const program = ['find', '-P', path, '-ignore_readdir_race', '-xdev', '!', '-type', 'd', '-printf', '%s %n %D:%i\\n'];
  await run(program, `cannot measure ${path}`, (text) => {
    const lines = (rest + text).split('\n');
    rest = lines.pop()!;
    for (const line of lines) {
      const [size, links, inode] = line.split(' ');
      total.add(Number(size), Number(links), inode!);
    }
  });
  return total.bytes;
}

function ignoreAbsent(error: NodeJS.ErrnoException): undefined {
  if (error.code !== 'ENOENT') throw error;
}

type Said = Awaited<ReturnType<typeof namespaceProgramOutput>>;

/** @param onText called with all that the program prints */
async function run(program: string[], what: string, onText?: (text: string) => void): Promise<void> {
  // Host root may do all of this, and the namespace's root could not touch what host root made.
  const { code, stderr } = await (process.getuid!() === 0
    ? runHere(program, onText)
    : namespaceProgramOutput({ program, onText }));
  if (code !== 0)
    throw new HuskError(`${what}: ${stderr.trim().split('\n')[0] || `exit status ${code}`}`, { kind: 'internal' });
}

function runHere(
  [program, ...args]: string[],
  onText: (text: string) => void = () => {},
): Promise<Pick<Said, 'code' | 'stderr'>> {
  return new Promise((resolve) => {
    const child = spawn(program!, args, { stdio: ['ignore', 'pipe', 'pipe'] });
    let stderr = '';
    child.stdout.setEncoding('utf8').on('data', onText);
    child.stderr.setEncoding('utf8').on('data', (text: string) => (stderr = (stderr + text).slice(0, MAX_SAID)));
    child.once('error', (error) => resolve({ code: 1, stderr: error.message }));
    child.once('close', (code) => resolve({ code: code ?? 1, stderr }));
  });
}
