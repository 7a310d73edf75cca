/**
 * A scope of systemd's for a keeper that would end with somebody's service: a network outlives the unit in which its
 * first container was started. Sessions and scopes are left as they are, for nobody stops those of a network's.
 */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { ownPath } from '../container/cgroup/delegation.ts';
import type { Scope } from '../container/cgroup/systemd-scope.ts';
import { readOptional } from '../host/files/read-optional.ts';

/** the socket by which each systemd is reached, in its runtime folder */
const PRIVATE = 'systemd/private';
const SYSTEM_RUNTIME = '/run';
/** of cgroups that are units; others are a unit's own */
const UNIT = /\.(service|scope|slice)$/;
/** the user's systemd itself, which ends with the user's last session */
const MANAGER = /^user@\d+\.service$/;

interface UnitSources {
  /** text of /proc/self/cgroup */
  self?: string;
  uid?: number;
  /** $XDG_RUNTIME_DIR */
  runtimeDir?: string | undefined;
  has?: (path: string) => boolean;
}

/** @returns whose systemd is to take what is started here out of the service that it is in; undefined: it is in none */
export function leavingService(sources: UnitSources = {}): Scope['manager'] | undefined {
  const { self, uid, runtimeDir, has } = {
    self: readOptional('/proc/self/cgroup') ?? '',
    uid: process.getuid!(),
    runtimeDir: process.env['XDG_RUNTIME_DIR'],
    has: existsSync,
    ...sources,
  };
  const unit = ownPath(self)
    ?.split('/')
    .findLast((name) => UNIT.test(name));
  if (unit === undefined || !unit.endsWith('.service') || MANAGER.test(unit)) return undefined;
  if (uid === 0) return has(join(SYSTEM_RUNTIME, PRIVATE)) ? 'system' : undefined;
  return runtimeDir !== undefined && has(join(runtimeDir, PRIVATE)) ? 'user' : undefined;
}

/** Of a keeper, by its pid: nobody else's scope is called so while it lives. */
export const keeperScope = (manager: Scope['manager'], keeper: number, pin: number): Scope => ({
  name: `husk-keeper-${keeper}.scope`,
  description: 'husk network',
  pids: [keeper, pin],
  manager,
});
