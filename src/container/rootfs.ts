/**
 * The root file system's steps: overlay or an existing tree, mounted in the new mount namespace and entered by
 * pivot_root.
 */
import { dirname, relative } from 'node:path';
import { HuskError } from '../errors.ts';
import type { Step } from '../launch/plan.ts';
import { MS_BIND, MS_PRIVATE, MS_REC, MS_SLAVE } from '../launch/mount-options.ts';
import type { Spec } from '../spec.ts';

/** What becomes the container's root. */
export type PlanRootfs =
  /** lower: topmost first, best all in one folder of short links (`l/`), see overlayOptions */
  | {
      kind: 'overlay';
      lower: string[];
      upper: string;
      work: string;
      merged: string;
      /**
       * `upper` and `work` are new, and belong to who made them: somebody else than the namespace's root, whose they
       * are to be
       */
      giveToRoot?: boolean;
    }
  /** a tree that is there already: fuse-overlayfs has mounted it, or it is a plain folder (`husk oci`) */
  | { kind: 'directory'; path: string };

/** mount(2) copies one page of data, with its final NUL. Source: linux fs/namespace.c copy_mount_options */
const MOUNT_DATA_LIMIT = 4096;

export function rootPath(rootfs: PlanRootfs): string {
  return rootfs.kind === 'overlay' ? rootfs.merged : rootfs.path;
}

/**
 * Steps up to `setRoot`. All propagation towards the host ends here; `slave` still lets the host's later mounts in,
 * which a bind mount with rslave or rshared needs.
 */
export function rootfsSteps(
  rootfs: PlanRootfs,
  spec: { linux: Pick<Spec['linux'], 'rootfsPropagation'> },
  options: { userXattr: boolean },
): Step[] {
  const wish = spec.linux.rootfsPropagation ?? 'rprivate';
  const propagation = (/slave|shared/.test(wish) ? MS_SLAVE : MS_PRIVATE) | MS_REC;
  const steps: Step[] = [{ op: 'mount', source: '', target: '/', fstype: '', flags: propagation, data: '' }];
  const root = rootPath(rootfs);
  if (rootfs.kind === 'overlay') {
    const { directory, data } = overlayOptions(rootfs, options);
    steps.push(
      ...givingSteps(rootfs),
      { op: 'chdir', path: directory },
      { op: 'mount', source: 'overlay', target: root, fstype: 'overlay', flags: 0, data },
    );
  } else {
    // pivot_root(2) wants a mount point
    steps.push({ op: 'mount', source: root, target: root, fstype: '', flags: MS_BIND | MS_REC, data: '' });
  }
  steps.push({ op: 'setRoot', path: root });
  return steps;
}

/** Before an overlay of these is mounted, as root of the namespace. */
export function givingSteps({ upper, work, giveToRoot }: Extract<PlanRootfs, { kind: 'overlay' }>): Step[] {
  return giveToRoot ? [upper, work].map((path) => ({ op: 'chown', path, uid: 0, gid: 0 })) : [];
}

/**
 * The overlay mount's data. Lower folders are named relative to the folder they share, which the plan enters first:
 * with absolute paths a page is full after some thirty layers, with links of 12 digits it holds about three hundred.
 * @throws HuskError `limit` when it still does not fit
 */
export function overlayOptions(
  rootfs: Extract<PlanRootfs, { kind: 'overlay' }>,
  options: { userXattr: boolean },
): { directory: string; data: string } {
  const directory = sharedFolder(rootfs.lower);
  const prefix = directory === '/' ? 1 : directory.length + 1;
  const lower = rootfs.lower.map((path) => escape(path.slice(prefix))).join(':');
  const data = [
    `lowerdir=${lower}`,
    `upperdir=${escape(rootfs.upper)}`,
    `workdir=${escape(rootfs.work)}`,
    ...(options.userXattr ? ['userxattr'] : []),
  ].join(',');
  checkLength(data, rootfs.lower.length);
  return { directory, data };
}

/**
 * As overlayOptions, of folders that are only looked at (two at least): a container's upper and the layers below it.
 * @param directory of the links, which the plan enters first
 */
export function readOnlyOverlay(lower: readonly string[], directory: string, options: { userXattr: boolean }): string {
  const data = `lowerdir=${lower.map((path) => escape(relative(directory, path))).join(':')}${options.userXattr ? ',userxattr' : ''}`;
  checkLength(data, lower.length);
  return data;
}

function checkLength(data: string, layers: number): void {
  if (Buffer.byteLength(data) < MOUNT_DATA_LIMIT) return;
  throw new HuskError(
    `cannot mount the ${layers} layers of the image: overlay's options are ${Buffer.byteLength(data)} bytes, the kernel takes ${MOUNT_DATA_LIMIT - 1}`,
    {
      kind: 'limit',
      fix: 'use a shorter data root (HUSK_DATA_ROOT), or an image of fewer layers',
    },
  );
}

function sharedFolder(paths: readonly string[]): string {
  if (paths.length === 0) throw new HuskError('cannot mount an overlay without layers', { kind: 'internal' });
  let shared = dirname(paths[0]!);
  for (const path of paths) while (shared !== '/' && !path.startsWith(`${shared}/`)) shared = dirname(shared);
  return shared;
}

/**
 * Overlay splits at comma and colon; a backslash keeps them. Source: linux fs/overlayfs/params.c ovl_next_opt,
 * ovl_unescape
 */
function escape(path: string): string {
  return path.replace(/[\\:,]/g, '\\$&');
}
