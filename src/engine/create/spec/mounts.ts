/** The container's own mounts on top of Docker's defaults: which replaces which, in which order. Source: moby daemon/oci_linux.go WithMounts. */
import type { Mount } from '../../../container/spec.ts';
import { HuskError } from '../../../errors.ts';
import type { ContainerConfig } from '../../contract.ts';

const PROPAGATION = new Set(['private', 'rprivate', 'shared', 'rshared', 'slave', 'rslave']);
/** flags a bind or volume may carry besides Docker's, as Podman's `-v` takes them */
const FLAGS = new Set(['noexec', 'exec', 'nosuid', 'suid', 'nodev', 'dev', 'noatime', 'relatime']);
/** done by the volume room, or without meaning here: SELinux labels, ownership, copying, macOS hints */
const ELSEWHERE =
  /^(rw|ro|z|Z|U|copy|nocopy|cached|delegated|consistent|bind-create-src|consistency=.*|volume-nocopy(=.*)?|volume-driver=.*|volume-label=.*|volume-opt=.*|volume-subpath=.*|readonly(=.*)?)$/;

export interface EtcFiles {
  hosts: string;
  hostname: string;
  resolvConf: string;
}

/**
 * @param options.recursiveReadonly the kernel can make a bind mount and all below it read-only (Linux 5.12): Docker then does so for `ro`
 * @throws HuskError `invalid` "invalid mode: x"
 */
export function volumeMounts(mounts: ContainerConfig['mounts'], options: { recursiveReadonly: boolean }): Mount[] {
  return mounts.map((mount) => {
    if (mount.type === 'tmpfs') return tmpfsMount(mount.destination, tmpfsKeys(mount));
    return mount.type === 'image' ? imageMount(mount) : bindMount(mount, options);
  });
}

function imageMount({ destination, image, options }: ContainerConfig['mounts'][number]): Mount {
  const subpath = options.findLast((option) => option.startsWith('image-subpath='))?.slice('image-subpath='.length);
  return { destination, type: 'image', source: image, ...(subpath && { subpath }), options: ['ro', 'rprivate'] };
}

function bindMount(mount: ContainerConfig['mounts'][number], options: { recursiveReadonly: boolean }): Mount {
  let bind = 'rbind';
  let propagation = 'rprivate';
  let recursive = options.recursiveReadonly;
  const flags: string[] = [];
  for (const option of mount.options) {
    const word = option.replace(/^bind-propagation=/, '');
    if (PROPAGATION.has(word)) propagation = word;
    else if (FLAGS.has(option)) flags.push(option);
    else if (
      option === 'bind' ||
      option === 'bind-nonrecursive' ||
      option === 'bind-nonrecursive=true' ||
      option === 'bind-recursive=disabled'
    )
      bind = 'bind';
    else if (option === 'rbind' || option === 'bind-recursive=enabled' || option === 'bind-recursive=readonly')
      bind = 'rbind';
    else if (option === 'bind-recursive=writable') recursive = false;
    else if (!ELSEWHERE.test(option)) throw new HuskError(`invalid mode: ${option}`, { kind: 'invalid' });
  }
  const readonly = mount.readonly ? [recursive && bind === 'rbind' ? 'rro' : 'ro'] : [];
  const subpath = mount.options
    .findLast((option) => option.startsWith('volume-subpath='))
    ?.slice('volume-subpath='.length);
  return {
    destination: mount.destination,
    type: 'bind',
    source: mount.source,
    ...(subpath !== undefined && { subpath }),
    options: [bind, ...readonly, ...flags, propagation],
  };
}

/** What of the propagation that was asked for the kernel does not give: mount_namespaces(7) § Restrictions; a VM has mounts of its own. */
export function propagationWarnings(
  mounts: ContainerConfig['mounts'],
  isolation: ContainerConfig['isolation'],
): string[] {
  return mounts.flatMap(({ destination, options }) => {
    const asked = options
      .findLast((option) => /^(bind-propagation=)?r?(shared|slave)$/.test(option))
      ?.replace('bind-propagation=', '');
    if (asked === undefined) return [];
    if (isolation === 'vm')
      return [
        `${asked}: mounts made at ${destination} on one side while the container runs are not seen on the other: it is shared with a virtual machine`,
      ];
    return /shared/.test(asked)
      ? [
          `${asked}: mounts that the container makes at ${destination} are not seen on the host: its mount namespace belongs to a user namespace of its own`,
        ]
      : [];
  });
}

/** `tmpfs-size=…`, `tmpfs-mode=…` of --mount */
function tmpfsKeys(mount: ContainerConfig['mounts'][number]): string[] {
  const options = mount.options.flatMap((option) => {
    const [key, value] = option.split(/=(.*)/s);
    if (key === 'tmpfs-size') return [`size=${value}`];
    if (key === 'tmpfs-mode') return [`mode=${value}`];
    if (ELSEWHERE.test(option)) return [];
    throw new HuskError(`invalid option for a tmpfs mount: ${option}`, { kind: 'invalid' });
  });
  return [...options, ...(mount.readonly ? ['ro'] : [])];
}

const TMPFS_OPTION =
  /^(defaults|ro|rw|suid|nosuid|dev|nodev|exec|noexec|sync|async|dirsync|remount|mand|nomand|atime|noatime|diratime|nodiratime|bind|rbind|r?(unbindable|private|shared|slave)|relatime|norelatime|strictatime|nostrictatime|(mode|uid|gid|size|nr_blocks|nr_inodes|mpol)=.+)$/;

/** `--tmpfs /run:size=64m`: noexec, nosuid, nodev unless told otherwise. @throws HuskError `invalid` for an option tmpfs does not have */
export function tmpfsMount(destination: string, asked: readonly string[]): Mount {
  const wrong = asked.find((option) => !TMPFS_OPTION.test(option));
  if (wrong !== undefined) throw new HuskError(`invalid tmpfs option ["${wrong}"]`, { kind: 'invalid' });
  const opposite = (option: string) =>
    option === 'ro' ? 'rw' : option === 'rw' ? 'ro' : option.startsWith('no') ? option.slice(2) : `no${option}`;
  const options = ['noexec', 'nosuid', 'nodev', 'rprivate'].filter(
    (option) =>
      !asked.includes(opposite(option)) &&
      !asked.includes(option) &&
      !(PROPAGATION.has(option) && asked.some((other) => PROPAGATION.has(other))),
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
 * Defaults first, less those replaced; a /dev of one's own takes all below it along. Then the container's, shallow paths before deep ones
 * so that a mount never hides one made before it.
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
