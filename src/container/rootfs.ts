/**
 * Makes the root file system's steps: an overlay or an existing tree is mounted in the new mount namespace and entered
 * by pivot_root.
 */
import { dirname, relative } from 'node:path';
import { HuskError } from '../errors.ts';
import type { Step } from '../launch/plan.ts';
import { MNT_DETACH, MS_BIND, MS_PRIVATE, MS_REC, MS_SLAVE } from '../launch/mount-options.ts';
import type { Mount, Spec } from '../spec.ts';

/** What becomes the container's root. */
export type PlanRootfs =
  /** `lower` is topmost first, best all in one folder of short links (`l/`), see overlayOptions */
  | {
      kind: 'overlay';
      lower: string[];
      upper: string;
      work: string;
      merged: string;
      /**
       * whether `upper` and `work` are new and must be given to the namespace's root, because another user made them
       */
      giveToRoot?: boolean;
      stubs?: Stubs;
    }
  /** a tree that exists already: fuse-overlayfs has mounted it, or it is a plain folder (`husk oci`) */
  | { kind: 'directory'; path: string };

/**
 * The mount points that the layers lack are made in a layer of their own between them and `upper`, so that `upper` has
 * nothing but what the container's processes have written: nobody has to tell mount points from their files afterwards,
 * or to take away what a process may have put a link in place of (CVE-2024-23652).
 */
interface Stubs {
  /** new folders: the layer, and overlay's work for it */
  upper: string;
  work: string;
  /** an empty folder, which stands for every file system that is mounted */
  empty: string;
}

/** mount(2) copies one page of data, with its final NUL. Source: linux fs/namespace.c copy_mount_options */
const MOUNT_DATA_LIMIT = 4096;

export function rootPath(rootfs: PlanRootfs): string {
  return rootfs.kind === 'overlay' ? rootfs.merged : rootfs.path;
}

/**
 * @param options.prepare steps before the root is mounted, when nothing propagates to the host any more
 * @returns the steps up to `setRoot`. They end all propagation towards the host; `slave` still lets the host's later
 * mounts in, which a bind mount with rslave or rshared needs.
 */
export function rootfsSteps(
  rootfs: PlanRootfs,
  spec: { mounts?: Spec['mounts']; linux: Pick<Spec['linux'], 'rootfsPropagation'> },
  options: { userXattr: boolean; prepare?: readonly Step[] | undefined },
): Step[] {
  const wish = spec.linux.rootfsPropagation ?? 'rprivate';
  const propagation = (/slave|shared/.test(wish) ? MS_SLAVE : MS_PRIVATE) | MS_REC;
  const steps: Step[] = [
    { op: 'mount', source: '', target: '/', fstype: '', flags: propagation, data: '' },
    ...(options.prepare ?? []),
  ];
  const root = rootPath(rootfs);
  if (rootfs.kind === 'overlay') {
    const { stubs } = rootfs;
    const lower = stubs ? [stubs.upper, ...rootfs.lower] : rootfs.lower;
    const { directory, data } = overlayOptions({ ...rootfs, lower }, options);
    steps.push(
      ...givingSteps(rootfs),
      ...(stubs ? stubSteps({ ...rootfs, stubs }, spec.mounts ?? [], options) : []),
      { op: 'chdir', path: directory },
      { op: 'mount', source: 'overlay', target: root, fstype: 'overlay', flags: 0, data },
    );
  } else {
    // pivot_root(2) needs a mount point.
    steps.push({ op: 'mount', source: root, target: root, fstype: '', flags: MS_BIND | MS_REC, data: '' });
  }
  steps.push({ op: 'setRoot', path: root });
  return steps;
}

/**
 * Makes the mount points by mounting on each of them, with the stubs' folder as the upper one, and takes all of it away
 * again. A target below that of another mount lies in what is mounted there.
 */
function stubSteps(
  { lower, merged, stubs }: Extract<PlanRootfs, { kind: 'overlay' }> & { stubs: Stubs },
  mounts: Spec['mounts'],
  options: { userXattr: boolean },
): Step[] {
  const { upper, work, empty } = stubs;
  const { directory, data } = overlayOptions({ kind: 'overlay', lower, upper, work, merged }, options);
  const isInner = ({ destination: path }: Mount) =>
    mounts.some(({ destination: other }) => path.startsWith(`${other}/`));
  return [
    { op: 'chdir', path: directory },
    { op: 'mount', source: 'overlay', target: merged, fstype: 'overlay', flags: 0, data },
    { op: 'setRoot', path: merged },
    ...mounts
      .filter((mount) => !isInner(mount))
      .map(({ type = '', source, subpath = '', destination }): Step => ({
        op: 'mount',
        source: type === 'bind' ? source! : empty,
        target: destination,
        fstype: '',
        flags: MS_BIND,
        data: type === 'bind' ? subpath : '',
        inRoot: true,
        create: 'like-source',
        noSymlinks: NO_LINKS.has(type),
      })),
    { op: 'setRoot', path: '/' },
    { op: 'umount', target: merged, flags: MNT_DETACH },
  ];
}

/** types of mounts that refuse a link in their target (mounts.ts) */
const NO_LINKS = new Set(['proc', 'sysfs', 'cgroup', 'cgroup2']);

/** Gives the folders to the namespace's root, which must happen before an overlay of them is mounted. */
export function givingSteps({ upper, work, giveToRoot }: Extract<PlanRootfs, { kind: 'overlay' }>): Step[] {
  return giveToRoot ? [upper, work].map((path) => ({ op: 'chown', path, uid: 0, gid: 0 })) : [];
}

/**
 * @returns the overlay mount's data. Lower folders are named relative to the folder that they share, which the plan
 * enters first: absolute paths fill a page after some thirty layers, while links of 12 digits allow about three
 * hundred.
 * @throws HuskError `limit` when the data still does not fit
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
 * Like overlayOptions, for two or more folders that are only read: a container's upper and the layers below it.
 * @param directory the folder of the links, which the plan enters first
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
 * Escapes a path: overlay splits at comma and colon unless a backslash precedes them. Source: linux
 * fs/overlayfs/params.c ovl_next_opt, ovl_unescape
 */
function escape(path: string): string {
  return path.replace(/[\\:,]/g, '\\$&');
}
