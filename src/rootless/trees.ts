/**
 * Deleting and measuring trees that hold files of subordinate ids. The plain way first: most trees belong to the caller alone,
 * and a namespace costs a few process starts.
 */
import { execFile } from 'node:child_process';
import { lstat, readdir, rm, rmdir } from 'node:fs/promises';
import { join } from 'node:path';
import { causeOf, HuskError } from '../errors.ts';
import { namespaceProgramOutput } from './namespace.ts';

/** errors a process with the namespace's capabilities does not get, and a path too long for one call (ENAMETOOLONG) */
const NEEDS_NAMESPACE = new Set(['EACCES', 'EPERM', 'ENAMETOOLONG']);
/**
 * Deletes a tree; an absent one is fine. Never follows a symbolic link, never crosses a mount.
 * @throws HuskError naming the path when even the namespace's root cannot
 */
export async function removeTree(path: string): Promise<void> {
  // overlay leaves work/work with mode 000: it cannot be listed, but as it is empty it can be removed
  await rmdir(join(path, 'work/work')).catch(() => {});
  try {
    await rm(path, { recursive: true, force: true });
  } catch (error) {
    if (!NEEDS_NAMESPACE.has((error as NodeJS.ErrnoException).code ?? '')) throw new HuskError(`cannot delete ${path}: ${causeOf(error)}`, { kind: 'internal', cause: error });
    await run(['rm', '-rf', '--one-file-system', '--', path], `cannot delete ${path}`);
  }
}

/** Bytes on disk below a path (allocated blocks, hard links once); what vanishes meanwhile counts nothing. */
export async function treeSize(path: string): Promise<number> {
  const seen = new Set<string>();
  const walk = async (at: string): Promise<number> => {
    const stat = await lstat(at).catch(ignoreAbsent);
    if (!stat) return 0;
    if (stat.nlink > 1 && !stat.isDirectory()) {
      const inode = `${stat.dev}:${stat.ino}`;
      if (seen.has(inode)) return 0;
      seen.add(inode);
    }
    let bytes = stat.blocks * 512; // st_blocks' unit, stat(2)
    if (stat.isDirectory()) for (const name of (await readdir(at).catch(ignoreAbsent)) ?? []) bytes += await walk(join(at, name));
    return bytes;
  };
  try {
    return await walk(path);
  } catch (error) {
    if (!NEEDS_NAMESPACE.has((error as NodeJS.ErrnoException).code ?? '')) throw error;
    const output = await run(['du', '-s', '-x', '-B1', '--', path], `cannot measure ${path}`);
    return Number(/^\d+/.exec(output)?.[0] ?? 0);
  }
}

function ignoreAbsent(error: NodeJS.ErrnoException): undefined {
  if (error.code !== 'ENOENT') throw error;
}

async function run(program: string[], what: string): Promise<string> {
  // host root may do all of it, and the namespace's root could not touch what host root made
  const { code, stdout, stderr } = await (process.getuid!() === 0 ? runHere(program) : namespaceProgramOutput({ program }));
  if (code !== 0) throw new HuskError(`${what}: ${stderr.trim().split('\n')[0] || `exit status ${code}`}`, { kind: 'internal' });
  return stdout;
}

function runHere([program, ...args]: string[]): Promise<{ code: number; stdout: string; stderr: string }> {
  return new Promise((resolve) => execFile(program!, args, (error, stdout, stderr) => resolve({ code: error === null ? 0 : Number(error.code) || 1, stdout, stderr: stderr || (error?.message ?? '') })));
}
