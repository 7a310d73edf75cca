/**
 * For husk run by root: the namespace's root is another user, to whom /root is closed. Where husk itself or its data lie below such a
 * folder, that folder is covered by an empty one, in a mount namespace of the plan's own, with only what is needed bound in at its place:
 * every path stays as it is, and nothing else of the closed folder becomes reachable.
 */
import { statSync } from 'node:fs';
import { dirname } from 'node:path';
import type { Step } from '../container/launch-plan.ts';
import { MNT_DETACH, MS_BIND, MS_NODEV, MS_NOSUID, MS_REC } from '../container/mount-options.ts';

/** any folder that is always there: covered for a moment, while the folder wanted changes its place */
const PASSAGE = '/tmp';
/** S_IXOTH of inode(7) */
const OTHERS_MAY_PASS = 0o001;

/** The topmost folder above `path` that others may not pass through. */
export function closedAbove(path: string, mode: (folder: string) => number = (folder) => statSync(folder).mode): string | undefined {
  let closed: string | undefined;
  for (let folder = dirname(path); ; folder = dirname(folder)) {
    if ((mode(folder) & OTHERS_MAY_PASS) === 0) closed = folder;
    if (folder === dirname(folder)) return closed;
  }
}

/** Steps for host root in a private mount namespace; none when everything can be reached as it is. */
export function reachSteps(folders: readonly string[], mode?: (folder: string) => number): Step[] {
  const steps: Step[] = [];
  const covered = new Set<string>();
  const wanted = [...new Set(folders)].filter((folder, _, all) => !all.some((other) => folder.startsWith(`${other}/`)));
  const places = wanted.flatMap((folder) => {
    const closed = closedAbove(folder, mode);
    return closed === undefined ? [] : [{ folder, closed }];
  });
  // the deepest come first out of what is covered for good afterwards: all of them are moved under one roof
  places.forEach(({ folder }, index) => {
    if (index === 0) steps.push({ op: 'mount', source: 'husk', target: PASSAGE, fstype: 'tmpfs', flags: MS_NOSUID | MS_NODEV, data: 'mode=711' });
    const aside = `${PASSAGE}/${index}`;
    steps.push({ op: 'mkdir', path: aside, mode: 0o711 }, { op: 'mount', source: folder, target: aside, fstype: '', flags: MS_BIND | MS_REC, data: '' });
  });
  places.forEach(({ folder, closed }, index) => {
    if (!covered.has(closed)) steps.push({ op: 'mount', source: 'husk', target: closed, fstype: 'tmpfs', flags: MS_NOSUID | MS_NODEV, data: 'mode=711' });
    covered.add(closed);
    for (const parent of between(closed, folder)) steps.push({ op: 'mkdir', path: parent, mode: 0o711 });
    steps.push({ op: 'mount', source: `${PASSAGE}/${index}`, target: folder, fstype: '', flags: MS_BIND | MS_REC, data: '' });
  });
  if (places.length > 0) steps.push({ op: 'umount', target: PASSAGE, flags: MNT_DETACH });
  return steps;
}

/** `/a` and `/a/b/c` → `/a/b`, `/a/b/c` */
function between(top: string, path: string): string[] {
  const parents: string[] = [];
  for (let at = path; at !== top; at = dirname(at)) parents.unshift(at);
  return parents;
}
