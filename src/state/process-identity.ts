/**
 * The identity of a process beyond its pid: pids are reused, and after a reboot they start again, so a record that
 * names a process has its start time and the boot as well. This module reads only /proc.
 */
import { existsSync, readFileSync } from 'node:fs';

export interface ProcessIdentity {
  pid: number;
  /** clock ticks since boot, as text: /proc/PID/stat field 22 */
  startTime: string;
  /** id of the boot: /proc/sys/kernel/random/boot_id */
  bootId: string;
}

/**
 * Positions of fields behind the last `)`, proc_pid_stat(5): the command stands before it in parentheses and may have
 * any characters.
 */
const STATE_FIELD = 0;
const START_TIME_FIELD = 19;

let bootId: string | undefined;
let self: ProcessIdentity | undefined;

export function currentBootId(): string {
  bootId ??= readFileSync('/proc/sys/kernel/random/boot_id', 'latin1').trim();
  return bootId;
}

function stat(pid: number): { state: string; startTime: string } | undefined {
  let text: string;
  try {
    // The jail of a VMM (src/rootless/jail.ts) has no other entry than `self`.
    text = readFileSync(`/proc/${pid === process.pid ? 'self' : pid}/stat`, 'latin1');
  } catch {
    return undefined;
  }
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
  return { state: fields[STATE_FIELD]!, startTime: fields[START_TIME_FIELD]! };
}

/** @returns undefined when there is no such process */
export function identify(pid: number): ProcessIdentity | undefined {
  const found = stat(pid);
  return found && { pid, startTime: found.startTime, bootId: currentBootId() };
}

/** @returns the identity of this very process */
export function identifySelf(): ProcessIdentity {
  return (self ??= identify(process.pid)!);
}

/** @returns whether /proc shows other processes; in a jail it has this process only */
function seesOthers(): boolean {
  return existsSync('/proc/stat');
}

/**
 * Checks a pid where start times cannot be read. Any process with that pid counts as the one that was recorded, because
 * breaking a claim would be worse than respecting a stale one.
 */
function exists(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}

/**
 * @returns whether the process still runs; a zombie counts as dead, since it holds nothing and does nothing any more
 */
export function isAlive(identity: ProcessIdentity | undefined): boolean {
  if (identity === undefined || identity.bootId !== currentBootId()) return false;
  const found = stat(identity.pid);
  if (found === undefined) return !seesOthers() && exists(identity.pid);
  return found.startTime === identity.startTime && found.state !== 'Z' && found.state !== 'X';
}

export function sameProcess(left: ProcessIdentity | undefined, right: ProcessIdentity | undefined): boolean {
  return (
    left !== undefined &&
    right !== undefined &&
    left.pid === right.pid &&
    left.startTime === right.startTime &&
    left.bootId === right.bootId
  );
}
