/**
 * Where this user may make cgroups, and which controllers work there; or why not, in words a person can act on. Reads only.
 * Source: linux Documentation/admin-guide/cgroup-v2.rst § Delegation; systemd's CGROUP_DELEGATION.
 */
import { accessSync, constants, readFileSync, statfsSync } from 'node:fs';
import { join } from 'node:path';

/** linux include/uapi/linux/magic.h */
const CGROUP2_SUPER_MAGIC = 0x63677270;
export const CGROUP_ROOT = '/sys/fs/cgroup';

export type Delegation =
  /** `path`: a cgroup whose children we may make; `controllers`: those its children can have */
  | { kind: 'delegated'; path: string; controllers: string[] }
  /** the user's systemd makes a scope for us (systemd-scope.ts); the controllers are those of its own cgroup */
  | { kind: 'systemd'; controllers: string[] }
  | { kind: 'none'; reason: string; fix: string };

export interface DelegationSources {
  /** @default '/sys/fs/cgroup' */
  root?: string;
  /** text of /proc/self/cgroup */
  self?: string;
  uid?: number;
  /** $XDG_RUNTIME_DIR */
  runtimeDir?: string;
  /** is `root` a cgroup2 mount */
  unified?: boolean;
}

const DELEGATE_FIX = 'let systemd delegate the controllers: in `systemctl edit user@.service` write [Service] and Delegate=cpu cpuset io memory pids, then log in again';

/** Never throws: what cannot be read is not there. */
export function findDelegation(sources: DelegationSources = {}): Delegation {
  const root = sources.root ?? CGROUP_ROOT;
  const uid = sources.uid ?? process.getuid!();
  if (!(sources.unified ?? isUnified(root)))
    return { kind: 'none', reason: 'this host has no cgroup v2 at /sys/fs/cgroup', fix: 'boot with systemd.unified_cgroup_hierarchy=1 on the kernel command line' };
  const own = ownPath(sources.self ?? read('/proc/self/cgroup') ?? '');
  if (own === undefined) return { kind: 'none', reason: 'this process is in no cgroup v2', fix: 'boot with systemd.unified_cgroup_hierarchy=1 on the kernel command line' };
  // the host's root has the whole tree: a folder of its own at the top, as Docker has
  if (uid === 0) {
    if (writable(root)) return { kind: 'delegated', path: join(root, 'husk'), controllers: words(join(root, 'cgroup.controllers')) };
    return { kind: 'none', reason: `${root} is not writable`, fix: 'mount it writable (in a container: --cgroupns private --security-opt writable-cgroups=true)' };
  }
  const path = join(root, own);
  if (writable(path) && writable(join(path, 'cgroup.procs'))) return { kind: 'delegated', path, controllers: words(join(path, 'cgroup.controllers')) };
  const manager = join(root, `user.slice/user-${uid}.slice/user@${uid}.service`);
  if (sources.runtimeDir !== undefined && exists(join(sources.runtimeDir, 'systemd/private')) && writable(manager)) return { kind: 'systemd', controllers: words(join(manager, 'cgroup.controllers')) };
  return { kind: 'none', reason: `the cgroup ${own} is not delegated to you`, fix: `log in with a systemd user session, or start husk by systemd-run --user --scope -p Delegate=yes; then ${DELEGATE_FIX}` };
}

export function controllerFix(): string {
  return DELEGATE_FIX;
}

/** `0::/user.slice/…` of /proc/PID/cgroup; `..` comes up when the process is outside of its cgroup namespace's root */
export function ownPath(text: string): string | undefined {
  const path = /^0::(\/.*)$/m.exec(text)?.[1];
  return path === undefined || path.split('/').includes('..') ? undefined : path;
}

/** is this folder a cgroup2 mount */
export function isUnified(root: string): boolean {
  try {
    return statfsSync(root).type === CGROUP2_SUPER_MAGIC;
  } catch {
    return false;
  }
}

function words(file: string): string[] {
  return (read(file) ?? '').trim().split(/\s+/).filter(Boolean);
}

function read(file: string): string | undefined {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return undefined;
  }
}

function writable(path: string): boolean {
  return allowed(path, constants.W_OK);
}

function exists(path: string): boolean {
  return allowed(path, constants.F_OK);
}

function allowed(path: string, mode: number): boolean {
  try {
    accessSync(path, mode);
    return true;
  } catch {
    return false;
  }
}
