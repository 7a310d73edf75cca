/**
 * The internal program `implied-parents`: runs as root of the user's namespace and writes out the folders that a stack
 * of layers implies (implied-parents.ts).
 *
 *   implied-parents FOLDER TAR [TAR]…     FOLDER is new and empty, the tars are the stack's, bottom first
 *
 * It prints the same lines as `unpack` (unpack-main.ts), and commits nothing either.
 */
import { Fd } from '../../host/fd.ts';
import { openFolder, syncfs } from '../../host/files/lookup.ts';
import { scanTar } from '../../tar/scan.ts';
import { impliedParents } from './implied-parents.ts';
import { LayerTree } from './tree.ts';
import { mappedHere, reportingFailure, say } from './unpack-main.ts';
import { writeTree } from './write-tree.ts';

export async function main([folder = '', ...tars]: string[]): Promise<number> {
  return reportingFailure(async () => {
    const root = impliedParents(tars.map(readTree));
    using target = new Fd(openFolder(folder));
    if (root) await writeTree(root, { target: target.number, tar: undefined, mapped: mappedHere() });
    syncfs(target.number);
    say({ done: folder });
  });
}

/** @param path the path of a layer's tar */
export function readTree(path: string): LayerTree {
  const tree = new LayerTree();
  scanTar(path, (entry) => tree.add(entry));
  return tree;
}
