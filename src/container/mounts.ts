/**
 * The spec's mounts → steps, in the spec's order, targets resolved in root. Decides; the executor mounts. Symbolic
 * links of the image are the executor's business (RESOLVE_IN_ROOT); proc and sysfs refuse any link in their target
 * (CVE-2019-16884, CVE-2023-27561).
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
  /** a new proc may be mounted: the container has a pid namespace of its own, or joined one */
  ownPid: boolean;
  /** a new sysfs may be mounted: it shows the network namespace, which must belong to the container's user namespace */
  ownNetwork: boolean;
  /** the host's /sys/fs/cgroup is cgroup v2, and the container has a cgroup namespace */
  cgroup2: boolean;
  /** @default the spec names none */
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
      // `tmpcopyup` is Podman's; Docker's tmpfs starts empty and takes the mode of what it covers
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
 * What the target is made as is decided by the executor, which alone is sure to reach the source: it may lie where only
 * the container's root can go.
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
 * The kernel lets nobody mount a proc or sysfs of namespaces they do not own, so the host's is bound in, as Podman
 * does.
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
 * A cgroup2 mount shows the container's own cgroup as its root. Where the host still has cgroup v1 there is nothing a
 * user may be shown: /sys/fs/cgroup is covered by an empty read-only tmpfs, so that neither the host's hierarchy nor a
 * half-usable one is seen. So is the host's own cgroup2 below a bound /sys: the kernel mounts no file system upon
 * itself.
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
