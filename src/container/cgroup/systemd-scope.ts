/**
 * Asks systemd for a scope around processes: the user's, with delegated controllers, which is the only way for an
 * ordinary user to leave the login session's cgroup, which is root's. The request goes through busctl(1), which
 * every systemd host has, so husk speaks no D-Bus of its own. Source: org.freedesktop.systemd1(5)
 * StartTransientUnit; systemd's CGROUP_DELEGATION § Scopes.
 */
import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { HuskError } from '../../errors.ts';
import { after } from '../../long-timer.ts';
import { CGROUP_ROOT, ownPath } from './delegation.ts';

/**
 * How often, and at what distance in ms, /proc/PID/cgroup is read, because systemd does the job asynchronously; one
 * second in all.
 */
const TRIES = 200;
const PAUSE_MS = 5;
/** ms until the call is given up */
const CALL_TIMEOUT = 10_000;

/** A unit of systemd's around processes that it has not started. */
export interface Scope {
  /** ends with `.scope`; no other unit may have it */
  name: string;
  description: string;
  pids: readonly number[];
  /** whose systemd */
  manager: 'user' | 'system';
  /** the processes' user may make cgroups in it */
  delegate?: boolean;
  /** the slice of that manager that the scope is put in; made when missing */
  slice?: string | undefined;
}

export const containerScope = (id: string, pid: number, slice?: string): Scope => ({
  name: `husk-${id}.scope`,
  description: `husk container ${id.slice(0, 12)}`,
  pids: [pid],
  manager: 'user',
  delegate: true,
  slice,
});

/** @returns the arguments of busctl; exported for tests */
export function scopeCall({ name, description, pids, manager, delegate, slice }: Scope): string[] {
  const properties = [
    ...(slice === undefined ? [] : [['Slice', 's', slice]]),
    ['Description', 's', description],
    ['PIDs', 'au', String(pids.length), ...pids.map(String)],
    ...(delegate ? [['Delegate', 'b', 'true']] : []),
    // A scope that ended badly is collected too, so that it leaves nothing behind.
    ['CollectMode', 's', 'inactive-or-failed'],
  ];
  return [
    `--${manager}`,
    'call',
    'org.freedesktop.systemd1',
    '/org/freedesktop/systemd1',
    'org.freedesktop.systemd1.Manager',
    'StartTransientUnit',
    'ssa(sv)a(sa(sv))',
    name,
    'fail',
    // The properties are an array with the signature a(sv).
    String(properties.length),
    ...properties.flat(),
    '0',
  ];
}

/**
 * Moves its processes into a new scope.
 * @returns the scope's cgroup folder
 * @throws HuskError `unsupported` when systemd refuses
 */
export async function enterScope(scope: Scope): Promise<string> {
  const { name, manager } = scope;
  const whose = manager === 'user' ? 'your systemd' : 'systemd';
  try {
    await promisify(execFile)('busctl', scopeCall(scope), { timeout: CALL_TIMEOUT });
  } catch (error) {
    const { stderr, message } = error as { stderr?: string; message: string };
    throw new HuskError(`cannot get a cgroup from ${whose}: ${stderr?.trim() || message}`, {
      kind: 'unsupported',
      fix: `see systemctl --${manager} status`,
      cause: error,
    });
  }
  for (let count = 0; count < TRIES; count++) {
    const paths = scope.pids.map((pid) => ownPath(readFileSync(`/proc/${pid}/cgroup`, 'utf8')));
    if (paths.every((path) => path?.endsWith(`/${name}`))) return join(CGROUP_ROOT, paths[0]!);
    await after(PAUSE_MS);
  }
  throw new HuskError(`cannot get a cgroup from ${whose}: ${name} did not start`, { kind: 'unavailable' });
}
