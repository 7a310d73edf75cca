/**
 * What is left of a container's cgroup when its supervisor was killed: the container's folder remembers where it was,
 * and whoever mends or removes the container takes it away. Never looks for cgroups by name: one that has just been
 * made for a container about to start is empty too.
 */
import { existsSync, readdirSync, readFileSync, rmdirSync, rmSync, writeFileSync } from 'node:fs';
import { basename, join, normalize } from 'node:path';
import { CGROUP_ROOT } from './delegation.ts';

const FILE = 'cgroup';
/** how often, and how long apart in ms, processes just killed are waited for */
const TRIES = 40;
const PAUSE_MS = 5;

export function cgroupName(id: string): string {
  return `husk-${id}`;
}

/** @param directory containers/<id> */
export function rememberCgroup(directory: string, path: string): void {
  writeFileSync(join(directory, FILE), path);
}

/** Is there a cgroup that this container's folder remembers? */
export function remembersCgroup(directory: string): boolean {
  const path = remembered(directory);
  return path !== undefined && existsSync(path);
}

/**
 * Kills and removes. Synchronous, for it belongs into the transaction that mends the record; at most 0.2 s, normally
 * one rmdir. Never throws.
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
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, PAUSE_MS);
  }
}

/** A container with a writable cgroup may have made folders of its own. @returns is it gone */
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
    // it is about to be killed and removed: nothing but a container's cgroup
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
    // Linux before 5.14: its processes die with the supervisor all the same
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
