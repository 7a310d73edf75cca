/**
 * The internal program `check-tree`: compares unpacked trees with the tars they were made from, as root of the user's
 * namespace.
 *
 *   check-tree FOLDER COUNT TAR… [FOLDER COUNT TAR…]…
 *
 * One TAR makes a layer's tree, several (a stack, bottom first) make the folders that the stack implies.
 * stdout: a line of JSON for each FOLDER: `{"folder", "problem"}`, the problem null where there is none.
 */
import { writeSync } from 'node:fs';
import { OpenFile } from '../../open-file.ts';
import { causeOf } from '../../errors.ts';
import { checkTree } from './check-tree.ts';
import { impliedParents } from './implied-parents.ts';
import { readTree } from './parents-main.ts';

export async function main(args: string[]): Promise<number> {
  for (let index = 0; index + 2 < args.length;) {
    const folder = args[index]!;
    const tars = args.slice(index + 2, index + 2 + Number(args[index + 1]));
    index += 2 + tars.length;
    let problem: string | undefined;
    try {
      problem = check(tars, folder);
    } catch (error) {
      problem = `cannot be read: ${causeOf(error)}`;
    }
    writeSync(1, `${JSON.stringify({ folder, problem: problem ?? null })}\n`);
  }
  return 0;
}

function check(tars: string[], folder: string): string | undefined {
  const root = tars.length === 1 ? readTree(tars[0]!).root : impliedParents(tars.map(readTree));
  if (!root) return 'is of no use: its layers imply no folder';
  using tar = new OpenFile(tars[0]!, 'r');
  return checkTree(root, { folder, tar: tar.fd });
}
