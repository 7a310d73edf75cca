/**
 * Removes what is left of a container's cgroup when its supervisor was killed: the container's folder remembers where
 * the cgroup was, and the code that reconciles or removes the container removes it. Nothing here searches for cgroups
 * by name, because the new cgroup of a container about to start is empty too.
 */
import { existsSync, readdirSync, readFileSync, rmdirSync, rmSync, writeFileSync } from 'node:fs';
import { basename, join, normalize } from 'node:path';
import { pauseThread } from '../../long-timer.ts';
import { CGROUP_ROOT } from './delegation.ts';

const FILE = 'cgroup';
/** how often, and at what distance in ms, the end of killed processes is checked */
const TRIES = 40;
const PAUSE_MS = 5;

export function cgroupName(id: string): string {
  return `husk-${id}`;
}

/** @param directory containers/<id> */
export function rememberCgroup(directory: string, path: string): void {
  writeFileSync(join(directory, FILE), path);
}

/** @returns whether the cgroup that this container's folder remembers exists */
export function remembersCgroup(directory: string): boolean {
  const path = remembered(directory);
  return path !== undefined && existsSync(path);
}

/**
 * Kills the processes and removes the cgroup. The call is synchronous, because it belongs to the transaction that
 * reconciles the record; it takes 0.2 s at most, and normally one rmdir. It never throws.
 */
export function removeRememberedCgroup(directory: string): void {
  const path = remembered(directory);
  if (path === undefined) return;
  for (let count = 0; count < TRIES; count++) {
    if (removeTree(path)) {
      rmSync(join(directory, FILE), { force: true });
      return;
    }
    killAll(path);
    pauseThread(PAUSE_MS);
  }
}

/**
 * Removes a cgroup with the folders that a container with a writable cgroup may have made in it. @returns whether it is
 * gone
 */
export function removeTree(path: string): boolean {
  for (const child of children(path)) if (!removeTree(child)) return false;
  try {
    rmdirSync(path);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'ENOENT';
  }
}

function remembered(directory: string): string | undefined {
  try {
    const path = readFileSync(join(directory, FILE), 'utf8');
    // The path will be killed and removed, so it must be a container's cgroup and nothing else.
    return path === normalize(path) && path.startsWith(`${CGROUP_ROOT}/`) && /^husk-[0-9a-f]{64}$/.test(basename(path))
      ? path
      : undefined;
  } catch {
    return undefined;
  }
}

function killAll(path: string): void {
  try {
    writeFileSync(join(path, 'cgroup.kill'), '1');
  } catch {
    // Linux before 5.14 has no such file: the processes die with the supervisor all the same.
  }
}

function children(path: string): string[] {
  try {
    return readdirSync(path, { withFileTypes: true })
      .filter((entry) => entry.isDirectory())
      .map((entry) => join(path, entry.name));
  } catch {
    return [];
  }
}
