/**
 * The internal program `unpack`: runs as root of the user's namespace and writes layer tars out as trees, one after
 * another.
 *
 *   unpack TAR FOLDER [TAR FOLDER]…     each FOLDER is new and empty
 *
 * stdout: lines of JSON: `{"names": N}` as work goes on, `{"done": FOLDER}` for each finished layer, or, as the last
 * one, `{"error": {message, kind, fix}}`. The program commits nothing: its starter (unpack.ts) renames a finished
 * FOLDER. It ends when its starter does.
 */
import { fstatSync, readFileSync, writeSync } from 'node:fs';
import { HuskError } from '../../errors.ts';
import { OpenFile } from '../../open-file.ts';
import { Fd } from '../../host/fd.ts';
import { FileMapping, openFolder, syncfs } from '../../host/files/lookup.ts';
import { scanTar } from '../../tar/scan.ts';
import { LayerTree } from './tree.ts';
import { writeTree } from './write-tree.ts';

export async function main(args: string[]): Promise<number> {
  return reportingFailure(async () => {
    const mapped = mappedHere();
    for (let index = 0; index + 1 < args.length; index += 2) {
      // When the starter is gone, nobody reads the pipe: the next line fails with EPIPE, which ends work that nobody
      // would commit.
      await unpack(args[index]!, args[index + 1]!, mapped, (names) => say({ names }));
      say({ done: args[index + 1] });
    }
  });
}

/** Runs the work of a program that writes trees, and prints how it failed. @returns the exit code */
export async function reportingFailure(work: () => Promise<void>): Promise<number> {
  process.umask(0);
  try {
    await work();
    return 0;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EPIPE') return 1;
    const { message, kind, fix } =
      error instanceof HuskError
        ? error
        : { message: String((error as Error).stack), kind: 'internal', fix: undefined };
    say({ error: { message, kind, fix } });
    return 1;
  }
}

export function say(line: object): void {
  writeSync(1, `${JSON.stringify(line)}\n`);
}

async function unpack(
  tar: string,
  folder: string,
  mapped: (uid: number, gid: number) => boolean,
  onProgress: (names: number) => void,
): Promise<void> {
  using file = new OpenFile(tar, 'r');
  const tree = new LayerTree();
  scanTar(file.fd, (entry) => tree.add(entry));
  using mapping = new FileMapping(file.fd, fstatSync(file.fd).size);
  using target = new Fd(openFolder(folder));
  await writeTree(tree.root, { target: target.number, tar: mapping, mapped, onProgress });
  // The tree is synced once as a whole, before its starter renames it: after a power cut a tree is whole or not there.
  syncfs(target.number);
}

/** @returns a test of which owners this process' user namespace has */
export const mappedHere = () =>
  mappedIds(readFileSync('/proc/self/uid_map', 'latin1'), readFileSync('/proc/self/gid_map', 'latin1'));

/** @param uidMap,gidMap text of /proc/self/uid_map and gid_map, user_namespaces(7): lines of "inside outside count" */
export function mappedIds(uidMap: string, gidMap: string): (uid: number, gid: number) => boolean {
  const ranges = (text: string) =>
    text
      .trim()
      .split('\n')
      .map((line) => line.trim().split(/\s+/).map(Number) as [number, number, number]);
  const uids = ranges(uidMap);
  const gids = ranges(gidMap);
  const has = (list: [number, number, number][], id: number) =>
    list.some(([inside, , count]) => id >= inside && id < inside + count);
  return (uid, gid) => has(uids, uid) && has(gids, gid);
}
