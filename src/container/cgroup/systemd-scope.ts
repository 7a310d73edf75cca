/**
 * Asks the user's systemd for a scope with delegated controllers around a process: the one way for an ordinary user to
 * leave the login session's cgroup, which is root's. Goes through busctl(1), which every systemd host has, so husk
 * speaks no D-Bus of its own. Source: org.freedesktop.systemd1(5) StartTransientUnit; systemd's CGROUP_DELEGATION §
 * Scopes.
 */
import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { HuskError } from '../../errors.ts';
import { after } from '../../long-timer.ts';
import { CGROUP_ROOT, ownPath } from './delegation.ts';

/**
 * the job is done asynchronously: how often, and how long apart in ms, /proc/PID/cgroup is looked at; one second in all
 */
const TRIES = 200;
const PAUSE_MS = 5;
/** ms */
const CALL_TIMEOUT = 10_000;

/** argv of busctl, apart for tests */
export function scopeCall(id: string, pid: number, slice?: string): string[] {
  return [
    '--user',
    'call',
    'org.freedesktop.systemd1',
    '/org/freedesktop/systemd1',
    'org.freedesktop.systemd1.Manager',
    'StartTransientUnit',
    'ssa(sv)a(sa(sv))',
    scopeName(id),
    'fail',
    // properties: signature of the array is a(sv)
    slice === undefined ? '4' : '5',
    ...(slice === undefined ? [] : ['Slice', 's', slice]),
    'Description',
    's',
    `husk container ${id.slice(0, 12)}`,
    'PIDs',
    'au',
    '1',
    String(pid),
    'Delegate',
    'b',
    'true',
    // a scope that ended badly leaves nothing behind
    'CollectMode',
    's',
    'inactive-or-failed',
    '0',
  ];
}

function scopeName(id: string): string {
  return `husk-${id}.scope`;
}

/**
 * Moves `pid` into a new scope.
 * @param slice of the user's manager that the scope is put in; made when missing
 * @returns the scope's cgroup folder, delegated to this user
 * @throws HuskError `unsupported` when systemd refuses
 */
export async function enterScope(id: string, pid: number, slice?: string): Promise<string> {
  try {
    await promisify(execFile)('busctl', scopeCall(id, pid, slice), { timeout: CALL_TIMEOUT });
  } catch (error) {
    const { stderr, message } = error as { stderr?: string; message: string };
    throw new HuskError(`cannot get a cgroup from your systemd: ${stderr?.trim() || message}`, {
      kind: 'unsupported',
      fix: 'see systemctl --user status',
      cause: error,
    });
  }
  for (let count = 0; count < TRIES; count++) {
    const path = ownPath(readFileSync(`/proc/${pid}/cgroup`, 'utf8'));
    if (path?.endsWith(`/${scopeName(id)}`)) return join(CGROUP_ROOT, path);
    await after(PAUSE_MS);
  }
  throw new HuskError(`cannot get a cgroup from your systemd: ${scopeName(id)} did not start`, { kind: 'unavailable' });
}
