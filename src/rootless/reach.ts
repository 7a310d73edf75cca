/**
 * Gives programs of a user namespace what they need of folders that are closed to them, when root runs husk. The root
 * of the namespace is then another user than host root, to whom /root, a 0700 home, a `mktemp -d` or the data root
 * itself is closed. What a program or a container needs of such a folder is opened first, each tree by a descriptor;
 * then an empty folder covers the closed one, in a mount namespace of the plan's own, and the trees are put to their
 * places in it. So every path stays as it is, nothing else of a closed folder can be reached, and nothing that is
 * mounted on the way covers what is still to be opened.
 */
import { realpathSync, statSync } from 'node:fs';
import { dirname } from 'node:path';
import type { Step } from '../launch/plan.ts';
import { MS_NODEV, MS_NOEXEC, MS_NOSUID, MS_PRIVATE, MS_REC } from '../launch/mount-options.ts';
import { CLONE_NEWNS } from '../container/namespaces.ts';
import { HuskError } from '../errors.ts';

/** What a plan needs of the host's files once it is no longer host root. */
export interface Reach {
  /** files and folders that stay at their paths; a missing one is skipped */
  kept: readonly string[];
  /** trees that are shown elsewhere: in an empty folder, which a tmpfs covers for them */
  staged?: { readonly folder: string; readonly trees: readonly StagedTree[] };
  /** propagation of the mount namespace: MS_PRIVATE or MS_SLAVE; @default MS_PRIVATE */
  propagation?: number;
}

export interface StagedTree {
  source: string;
  /** a path in the source; no link in the path leads out of the source */
  beneath?: string;
  /** a path in the staging folder */
  target: string;
  /** whether the tree includes what is mounted below it */
  recursive: boolean;
}

/** Questions about the host's files; tests answer them by themselves. */
export interface HostFiles {
  /** st_mode, symbolic links followed; undefined: the file does not exist */
  mode(path: string): number | undefined;
  real(path: string): string;
}

const HOST: HostFiles = {
  mode: (path) => statSync(path, { throwIfNoEntry: false })?.mode,
  real: (path) => realpathSync(path),
};

/** S_IXOTH of inode(7) */
const OTHERS_MAY_PASS = 0o001;
/** The cover may be passed through but not listed: a program that needs something in it knows its name. */
const COVER = { fstype: 'tmpfs', flags: MS_NOSUID | MS_NODEV | MS_NOEXEC, data: 'mode=711' } as const;

/** @returns the topmost folder above a path (which has no symbolic links) that other users may not pass through */
export function closedAbove(path: string, mode: HostFiles['mode'] = HOST.mode): string | undefined {
  let closed: string | undefined;
  for (let folder = dirname(path); ; folder = dirname(folder)) {
    if (((mode(folder) ?? 0) & OTHERS_MAY_PASS) === 0) closed = folder;
    if (folder === dirname(folder)) return closed;
  }
}

/**
 * @returns steps for host root, before it enters a user namespace; none when everything can be reached as it is
 * @throws HuskError `unsupported` where the host's / is closed
 */
export function reachSteps({ kept, staged, propagation = MS_PRIVATE }: Reach, files: HostFiles = HOST): Step[] {
  const hidden = hiddenOf(kept, files);
  if (hidden.length === 0 && staged === undefined) return [];
  const trees = staged?.trees ?? [];
  const covered = [...new Set(hidden.map(({ closed }) => closed))];
  return [
    { op: 'unshare', flags: CLONE_NEWNS },
    { op: 'mount', source: '', target: '/', fstype: '', flags: MS_REC | propagation, data: '' },
    ...hidden.map(({ path }, tree): Step => ({ op: 'holdTree', source: path, tree, recursive: true })),
    ...trees.map(({ source, beneath, recursive }, index): Step => ({
      op: 'holdTree',
      source,
      beneath,
      tree: hidden.length + index,
      recursive,
    })),
    ...covered.map((target): Step => ({ op: 'mount', source: 'husk', target, ...COVER })),
    ...hidden.map(({ path }, tree): Step => ({ op: 'placeTree', target: path, tree })),
    ...(staged ? [{ op: 'mount', source: 'husk', target: staged.folder, ...COVER } as const] : []),
    ...trees.map(({ target }, index): Step => ({ op: 'placeTree', target, tree: hidden.length + index })),
  ];
}

interface Hidden {
  /** the path without symbolic links */
  path: string;
  closed: string;
}

/** @returns the paths that other users cannot reach; a folder stands for all that lies in it */
function hiddenOf(kept: readonly string[], files: HostFiles): Hidden[] {
  const real = kept.filter((path) => files.mode(path) !== undefined).map((path) => files.real(path));
  const outermost = [...new Set(real)].filter((path, _, all) => !all.some((other) => path.startsWith(`${other}/`)));
  return outermost.flatMap((path) => {
    const closed = closedAbove(path, files.mode);
    if (closed === undefined) return [];
    if (closed === '/')
      throw new HuskError(
        `cannot run containers as root: others may not pass through /, and a container's root is another user`,
        { kind: 'unsupported', fix: 'chmod o+x /' },
      );
    return [{ path, closed }];
  });
}
