/**
 * Which layers can be told to a virtual machine as they are: those that only add, and describe each of their folders.
 * Deletions have a form of their own in each overlay, and folders that a layer implies depend on what is below it.
 */
import { impliesParents } from '../../../images/layers/implied-parents.ts';
import { readTree } from '../../../images/layers/parents-main.ts';
import type { Directory } from '../../../images/layers/tree.ts';
import type { Layer } from '../../../images/store/contract.ts';

/** What was found out, by diffID; a digest says the same for ever. */
const known = new Map<string, boolean>();

export function isPlain({ diffId, tar }: Layer): boolean {
  let found = known.get(diffId);
  if (found === undefined) {
    const tree = readTree(tar);
    known.set(diffId, (found = !deletes(tree.root) && !impliesParents(tree)));
  }
  return found;
}

function deletes(root: Directory): boolean {
  const pending = [root];
  for (let directory = pending.pop(); directory; directory = pending.pop()) {
    if (directory.opaque) return true;
    for (const child of directory.children.values()) {
      if (child.kind === 'whiteout') return true;
      if (child.kind === 'directory') pending.push(child);
    }
  }
  return false;
}
