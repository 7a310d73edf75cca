/**
 * The internal program `check-tree`: compares unpacked trees with their layers' tars, as root of the user's namespace.
 *
 *   check-tree TAR FOLDER [TAR FOLDER]…
 *
 * stdout: a line of JSON for each FOLDER: `{"folder", "problem"}`, the problem null where there is none.
 */
import { closeSync, openSync, writeSync } from 'node:fs';
import { causeOf } from '../../errors.ts';
import { scanTar } from '../../tar/scan.ts';
import { checkTree } from './check-tree.ts';
import { LayerTree } from './tree.ts';

export async function main(args: string[]): Promise<number> {
  for (let index = 0; index + 1 < args.length; index += 2) {
    const folder = args[index + 1]!;
    let problem: string | undefined;
    try {
      problem = check(args[index]!, folder);
    } catch (error) {
      problem = `cannot be read: ${causeOf(error)}`;
    }
    writeSync(1, `${JSON.stringify({ folder, problem: problem ?? null })}\n`);
  }
  return 0;
}

function check(path: string, folder: string): string | undefined {
  const tar = openSync(path, 'r');
  try {
    const tree = new LayerTree();
    scanTar(tar, (entry) => tree.add(entry));
    return checkTree(tree.root, { folder, tar });
  } finally {
    closeSync(tar);
  }
}
