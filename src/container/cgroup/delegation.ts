/**
 * Finds where this user may make cgroups, and which controllers work there; or says why not, in words that a user can
 * act on. The search only reads.
 *
 * A cgroup with processes cannot give controllers to its children (the no-internal-processes rule), and husk must not
 * move the processes of the user's session. So containers go beside the leaf that husk was started in, into the nearest
 * empty cgroup above it that is the user's. Source: linux Documentation/admin-guide/cgroup-v2.rst § Delegation;
 * systemd's CGROUP_DELEGATION.
 */
import { accessSync, constants, readFileSync, statfsSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';

/** linux include/uapi/linux/magic.h */
const CGROUP2_SUPER_MAGIC = 0x63677270;
export const CGROUP_ROOT = '/sys/fs/cgroup';

export type Delegation =
  /**
   * `path`: a cgroup in which the user may make children; `controllers`: those that the children can have; `fix`: how
   * to get the others, where systemd does not give them
   */
  | { kind: 'delegated'; path: string; controllers: string[]; fix?: string }
  /** the user's systemd makes a scope on request (systemd-scope.ts); the controllers are those of its own cgroup */
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
  /** whether `root` is a cgroup2 mount */
  unified?: boolean;
}

const DELEGATE_FIX =
  'let systemd delegate the controllers: in `systemctl edit user@.service` write [Service] and Delegate=cpu cpuset io memory pids, then log in again';
const LEAF_FIX =
  'start husk in a leaf of its own below a delegated cgroup that has no processes itself (a systemd service: Delegate=yes with DelegateSubgroup=)';

/** Finds the delegation. The search never throws: a file that cannot be read counts as missing. */
export function findDelegation(sources: DelegationSources = {}): Delegation {
  const root = sources.root ?? CGROUP_ROOT;
  const uid = sources.uid ?? process.getuid!();
  if (!(sources.unified ?? isUnified(root)))
    return {
      kind: 'none',
      reason: 'this host has no cgroup v2 at /sys/fs/cgroup',
      fix: 'boot with systemd.unified_cgroup_hierarchy=1 on the kernel command line',
    };
  const own = ownPath(sources.self ?? read('/proc/self/cgroup') ?? '');
  if (own === undefined)
    return {
      kind: 'none',
      reason: 'this process is in no cgroup v2',
      fix: 'boot with systemd.unified_cgroup_hierarchy=1 on the kernel command line',
    };
  // The host's root owns the whole tree and gets a folder of its own at the top, as in Docker.
  if (uid === 0) {
    if (writable(root)) return delegated(join(root, 'husk'), root);
    return {
      kind: 'none',
      reason: `${root} is not writable`,
      fix: 'mount it writable (in a container: --cgroupns private --security-opt writable-cgroups=true)',
    };
  }
  const manager = join(root, `user.slice/user-${uid}.slice/user@${uid}.service`);
  if (sources.runtimeDir !== undefined && exists(join(sources.runtimeDir, 'systemd/private')) && writable(manager))
    return { kind: 'systemd', controllers: words(join(manager, 'cgroup.controllers')) };
  for (let path = dirname(own); path !== '/' && manageable(join(root, path)); path = dirname(path))
    if (!occupied(join(root, path))) return delegated(join(root, path), join(root, path));
  // Between other processes there is still room for a cgroup without controllers, enough to pause, count and kill.
  if (manageable(join(root, own))) return delegated(join(root, own), join(root, own));
  return {
    kind: 'none',
    reason: `the cgroup ${own} is not delegated to you`,
    fix: `log in with a systemd user session; then ${DELEGATE_FIX}`,
  };
}

/** @param giver the existing cgroup that gives controllers: `path` or the folder above it */
function delegated(path: string, giver: string): Delegation {
  // The real root of the tree, which has no type, may have processes and give controllers all the same.
  if (!occupied(giver) || !exists(join(giver, 'cgroup.type')))
    return { kind: 'delegated', path, controllers: words(join(giver, 'cgroup.controllers')) };
  return { kind: 'delegated', path, controllers: words(join(giver, 'cgroup.subtree_control')), fix: LEAF_FIX };
}

/**
 * @returns whether this user may write what the owner of a delegated cgroup may (cgroup-v2.rst § Delegation). systemd's
 * slices and the user manager's own cgroup belong to systemd even then.
 */
function manageable(path: string): boolean {
  if (/\.slice$|^user@\d+\.service$/.test(basename(path))) return false;
  return ['', 'cgroup.procs', 'cgroup.subtree_control'].every((file) => writable(join(path, file)));
}

function occupied(path: string): boolean {
  return (read(join(path, 'cgroup.procs')) ?? '') !== '';
}

export function controllerFix(): string {
  return DELEGATE_FIX;
}

/**
 * @returns `/user.slice/…` of the line `0::/user.slice/…` in /proc/PID/cgroup; undefined when the path has a `..`,
 * which appears when the process is outside of its cgroup namespace's root
 */
export function ownPath(text: string): string | undefined {
  const path = /^0::(\/.*)$/m.exec(text)?.[1];
  return path === undefined || path.split('/').includes('..') ? undefined : path;
}

/** @returns whether this folder is a cgroup2 mount */
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
