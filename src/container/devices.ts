/**
 * Makes the steps for /dev: the nodes that every container has, the nodes asked for, and the links. mknod(2) is
 * forbidden in a user namespace, so the host's nodes are bound in there. Source: OCI runtime-spec, config-linux.md §
 * Default Devices; runc libcontainer/specconv.
 */
import type { Step } from '../launch/plan.ts';
import { MS_BIND, MS_NOEXEC, MS_NOSUID } from '../launch/mount-options.ts';
import type { Device } from '../spec.ts';

const S_IFCHR = 0o020000;
const S_IFBLK = 0o060000;
const S_IFIFO = 0o010000;
const DEVICE_MODE = 0o666;

/** linux Documentation/admin-guide/devices.txt */
const DEFAULT_DEVICES: readonly Device[] = [
  { path: '/dev/null', type: 'c', major: 1, minor: 3 },
  { path: '/dev/zero', type: 'c', major: 1, minor: 5 },
  { path: '/dev/full', type: 'c', major: 1, minor: 7 },
  { path: '/dev/random', type: 'c', major: 1, minor: 8 },
  { path: '/dev/urandom', type: 'c', major: 1, minor: 9 },
  { path: '/dev/tty', type: 'c', major: 5, minor: 0 },
];

/** `--privileged` names every node of the host; these two are the container's own terminals, never the host's. */
const OURS = new Set(['/dev/ptmx', '/dev/console']);

const LINKS: readonly [path: string, target: string][] = [
  ['/dev/fd', '/proc/self/fd'],
  ['/dev/stdin', '/proc/self/fd/0'],
  ['/dev/stdout', '/proc/self/fd/1'],
  ['/dev/stderr', '/proc/self/fd/2'],
  ['/dev/core', '/proc/kcore'],
];

/**
 * @param options.bind binds the host's nodes instead of making nodes; `source` of a device is then its path on the host
 */
export function deviceSteps(devices: readonly Device[], options: { bind: boolean }): Step[] {
  const wanted = new Map<string, Device>();
  for (const device of [...DEFAULT_DEVICES, ...devices]) if (!OURS.has(device.path)) wanted.set(device.path, device);
  const steps: Step[] = [];
  for (const device of wanted.values()) steps.push(...(options.bind ? bound(device) : made(device)));
  for (const [path, target] of LINKS) steps.push({ op: 'symlink', target, path, inRoot: true });
  // /dev/ptmx is that of the container's own devpts, never the host's.
  steps.push({ op: 'symlink', target: 'pts/ptmx', path: '/dev/ptmx', inRoot: true });
  return steps;
}

function bound(device: Device): Step[] {
  // The "device" may be any file of the host at that path.
  const flags = MS_BIND | MS_NOSUID | MS_NOEXEC;
  return [
    {
      op: 'mount',
      source: device.source ?? device.path,
      target: device.path,
      fstype: '',
      flags,
      data: '',
      inRoot: true,
      create: 'file',
    },
  ];
}

function made(device: Device): Step[] {
  const type = device.type === 'b' ? S_IFBLK : device.type === 'p' ? S_IFIFO : S_IFCHR;
  const mode = device.fileMode ?? DEVICE_MODE;
  return [
    { op: 'mknod', path: device.path, mode: type | mode, major: device.major, minor: device.minor, inRoot: true },
    // mknod(2) applies the umask, so the mode is set again.
    { op: 'chmod', path: device.path, mode, inRoot: true },
    { op: 'chown', path: device.path, uid: device.uid ?? 0, gid: device.gid ?? 0, inRoot: true },
  ];
}
