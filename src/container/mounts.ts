/**
 * Turns the spec's mounts into steps, in the spec's order, with targets resolved in the root. This file only decides;
 * the executor mounts, and resolves symbolic links of the image (RESOLVE_IN_ROOT). The mounts of proc and sysfs refuse
 * any link in their target (CVE-2019-16884, CVE-2023-27561).
 */
import { HuskError } from '../errors.ts';
import { imageSteps, type ImageRoots } from './image-mounts.ts';
import type { Step } from '../launch/plan.ts';
import {
  MOUNT_ATTR_NODEV,
  MOUNT_ATTR_NOEXEC,
  MOUNT_ATTR_NOSUID,
  MOUNT_ATTR_RDONLY,
  MS_BIND,
  MS_RDONLY,
  MS_REC,
  parseMountOptions,
  type MountOptions,
} from '../launch/mount-options.ts';
import type { Mount } from '../spec.ts';

export interface MountFacts {
  /** whether a new proc may be mounted: the container has a pid namespace of its own, or joined one */
  ownPid: boolean;
  /**
   * whether a new sysfs may be mounted: sysfs shows the network namespace, which the container's user namespace must
   * own
   */
  ownNetwork: boolean;
  /** whether the host's /sys/fs/cgroup is cgroup v2 and the container has a cgroup namespace */
  cgroup2: boolean;
  /** the images' trees; @default none, for a spec that names no image */
  images?: ImageRoots;
}

export function mountSteps(mounts: readonly Mount[], facts: MountFacts): Step[] {
  return mounts.flatMap((mount) => steps(mount, facts));
}

function steps(mount: Mount, facts: MountFacts): Step[] {
  const { destination } = mount;
  if (!destination.startsWith('/') || destination.includes('\0'))
    throw new HuskError(`invalid mount destination "${destination}": it must be an absolute path`, { kind: 'invalid' });
  const options = parseMountOptions(mount.options ?? []);
  if (mount.type === 'bind' || options.flags & MS_BIND) return bind(mount, options);
  switch (mount.type) {
    case 'proc':
      return facts.ownPid ? fresh('proc', mount, options) : hostTree('/proc', 0);
    case 'sysfs':
      return facts.ownNetwork ? fresh('sysfs', mount, options) : hostTree('/sys', MOUNT_ATTR_RDONLY);
    case 'cgroup':
    case 'cgroup2':
      return cgroup(mount, options, facts);
    case 'tmpfs':
      // Podman has `tmpcopyup`; Docker's tmpfs starts empty and takes the mode of the folder that it covers.
      return [{ ...newFileSystem(mount, options, 'tmpfs'), modeFromTarget: !/(^|,)mode=/.test(options.data) }];
    case 'image':
      return imageSteps(mount, options, facts.images);
    case undefined:
    case '':
      throw new HuskError(`the mount at ${destination} has no type`, { kind: 'invalid' });
    default:
      return [newFileSystem(mount, options, mount.type)];
  }
}

/**
 * The executor decides whether the target is made as a file or a folder, because it alone is sure to reach the source,
 * which may lie where only the container's root can go.
 */
function bind(mount: Mount, options: MountOptions): Step[] {
  const { source, destination, subpath = '' } = mount;
  if (source === undefined || !source.startsWith('/') || source.includes('\0'))
    throw new HuskError(`the bind mount at ${destination} needs an absolute source, not "${source ?? ''}"`, {
      kind: 'invalid',
    });
  const { attributes, recursive, propagation } = options;
  const flags = MS_BIND | (options.flags & MS_REC);
  return [
    {
      op: 'mount',
      source,
      target: destination,
      fstype: '',
      flags,
      data: subpath,
      attributes,
      recursive,
      propagation,
      inRoot: true,
      create: 'like-source',
    },
  ];
}

function newFileSystem(mount: Mount, options: MountOptions, fstype: string): Extract<Step, { op: 'mount' }> {
  const { flags, data, recursive, propagation } = options;
  return {
    op: 'mount',
    source: mount.source ?? fstype,
    target: mount.destination,
    fstype,
    flags,
    data,
    recursive,
    propagation,
    inRoot: true,
    create: 'directory',
  };
}

function fresh(fstype: string, mount: Mount, options: MountOptions): Step[] {
  return [
    {
      op: 'mount',
      source: mount.source ?? fstype,
      target: mount.destination,
      fstype,
      flags: options.flags,
      data: options.data,
      inRoot: true,
      create: 'directory',
      noSymlinks: true,
    },
  ];
}

/**
 * Binds the host's proc or sysfs, as Podman does: the kernel lets no one mount those of namespaces that they do not
 * own.
 */
function hostTree(path: string, more: number): Step[] {
  const recursive = { set: MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC | more, clear: 0 };
  return [
    {
      op: 'mount',
      source: path,
      target: path,
      fstype: '',
      flags: MS_BIND | MS_REC,
      data: '',
      recursive,
      inRoot: true,
      create: 'directory',
      noSymlinks: true,
    },
  ];
}

/**
 * Mounts cgroup2, which shows the container's own cgroup as its root. Where the host still has cgroup v1, a user may be
 * shown none of it: an empty read-only tmpfs covers /sys/fs/cgroup, so that neither the host's hierarchy nor a
 * half-usable one is seen. The tmpfs also covers the host's own cgroup2 below a bound /sys, because the kernel mounts
 * no file system upon itself.
 */
function cgroup(mount: Mount, options: MountOptions, facts: MountFacts): Step[] {
  const step = { op: 'mount', target: mount.destination, inRoot: true, create: 'directory', noSymlinks: true } as const;
  const cover: Step = { ...step, source: 'tmpfs', fstype: 'tmpfs', flags: options.flags | MS_RDONLY, data: 'mode=755' };
  if (!facts.cgroup2) return [cover];
  return [
    ...(facts.ownNetwork ? [] : [cover]),
    { ...step, source: 'cgroup', fstype: 'cgroup2', flags: options.flags, data: '' },
  ];
}
