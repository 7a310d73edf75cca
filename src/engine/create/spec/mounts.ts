/**
 * The container's own mounts on top of Docker's defaults: which replaces which, in which order. Source: moby
 * daemon/oci_linux.go WithMounts.
 */
import type { Mount } from '../../../spec.ts';
import {
  isPropagation,
  propagates,
  readMountOptions,
  tmpfsOptions,
  type MountSettings,
} from '../../../notation/mount-options.ts';
import type { ContainerConfig } from '../../contract.ts';

/** A mount as it stands in a record, read. */
export type ReadMount = ContainerConfig['mounts'][number] & { settings: MountSettings };

/** @throws HuskError `invalid` "invalid mode: x" */
export function readMounts(mounts: ContainerConfig['mounts']): ReadMount[] {
  return mounts.map((mount) => ({ ...mount, settings: readMountOptions(mount.type, mount.options) }));
}

export interface EtcFiles {
  hosts: string;
  hostname: string;
  resolvConf: string;
}

/**
 * @param options.recursiveReadonly the kernel can make a bind mount and all below it read-only (Linux 5.12): Docker
 * then does so for `ro`
 */
export function volumeMounts(mounts: readonly ReadMount[], options: { recursiveReadonly: boolean }): Mount[] {
  return mounts.map((mount) => {
    const { type, destination, readonly, settings } = mount;
    if (type === 'tmpfs') return tmpfsMount(destination, [...tmpfsOptions(settings), ...(readonly ? ['ro'] : [])]);
    return type === 'image' ? imageMount(mount) : bindMount(mount, options);
  });
}

function imageMount({ destination, image, settings: { subpath } }: ReadMount): Mount {
  return { destination, type: 'image', source: image, ...(subpath && { subpath }), options: ['ro', 'rprivate'] };
}

function bindMount(
  { source, destination, readonly, settings }: ReadMount,
  options: { recursiveReadonly: boolean },
): Mount {
  const { bind = 'rbind', propagation = 'rprivate', subpath, flags, recursiveReadonly } = settings;
  const isRecursive = options.recursiveReadonly && recursiveReadonly !== 'no' && bind === 'rbind';
  return {
    destination,
    type: 'bind',
    source,
    ...(subpath !== undefined && { subpath }),
    options: [bind, ...(readonly ? [isRecursive ? 'rro' : 'ro'] : []), ...flags, propagation],
  };
}

/**
 * What of the propagation that was asked for the kernel does not give: mount_namespaces(7) § Restrictions; a VM has
 * mounts of its own.
 */
export function propagationWarnings(mounts: readonly ReadMount[], isolation: ContainerConfig['isolation']): string[] {
  return mounts
    .filter(({ settings }) => propagates(settings))
    .flatMap(({ destination, settings: { propagation = '' } }) => {
      if (isolation === 'vm')
        return [
          `${propagation}: mounts made at ${destination} on one side while the container runs are not seen on the other: it is shared with a virtual machine`,
        ];
      return propagation.endsWith('shared')
        ? [
            `${propagation}: mounts that the container makes at ${destination} are not seen on the host: its mount namespace belongs to a user namespace of its own`,
          ]
        : [];
    });
}

/** `--tmpfs /run:size=64m`: noexec, nosuid, nodev unless told otherwise. */
export function tmpfsMount(destination: string, asked: readonly string[]): Mount {
  const opposite = (option: string) =>
    option === 'ro' ? 'rw' : option === 'rw' ? 'ro' : option.startsWith('no') ? option.slice(2) : `no${option}`;
  const options = ['noexec', 'nosuid', 'nodev', 'rprivate'].filter(
    (option) =>
      !asked.includes(opposite(option)) &&
      !asked.includes(option) &&
      !(isPropagation(option) && asked.some(isPropagation)),
  );
  return {
    destination,
    type: 'tmpfs',
    source: 'tmpfs',
    options: [...options, ...asked.filter((option) => option !== 'defaults')],
  };
}

/** /etc/hosts and the others, unless the person mounts their own there; read-only with the root */
export function etcMounts(files: EtcFiles, options: { readonly: boolean }): Mount[] {
  const readonly = options.readonly ? ['ro'] : [];
  return [
    {
      destination: '/etc/resolv.conf',
      type: 'bind',
      source: files.resolvConf,
      options: ['rbind', ...readonly, 'rprivate'],
    },
    { destination: '/etc/hostname', type: 'bind', source: files.hostname, options: ['rbind', ...readonly, 'rprivate'] },
    { destination: '/etc/hosts', type: 'bind', source: files.hosts, options: ['rbind', ...readonly, 'rprivate'] },
  ];
}

/**
 * Defaults first, less those replaced; a /dev of one's own takes all below it along. Then the container's, shallow
 * paths before deep ones so that a mount never hides one made before it.
 */
export function mergeMounts(defaults: readonly Mount[], own: readonly Mount[]): Mount[] {
  const replaced = new Set(own.map(({ destination }) => clean(destination)));
  const kept = defaults.filter(
    ({ destination }) => !replaced.has(destination) && !(replaced.has('/dev') && destination.startsWith('/dev/')),
  );
  const seen = new Map<string, Mount>();
  for (const mount of own) seen.set(clean(mount.destination), { ...mount, destination: clean(mount.destination) });
  return [...kept, ...[...seen.values()].sort((a, b) => depth(a.destination) - depth(b.destination))];
}

function clean(path: string): string {
  const parts: string[] = [];
  for (const part of path.split('/')) {
    if (part === '..') parts.pop();
    else if (part !== '' && part !== '.') parts.push(part);
  }
  return `/${parts.join('/')}`;
}

function depth(path: string): number {
  return path === '/' ? 0 : path.split('/').length - 1;
}
