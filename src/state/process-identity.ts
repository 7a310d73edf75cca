/**
 * Who a process is, beyond its pid: pids are reused and a reboot starts them again, so a record that names a process
 * names its start time and the boot as well. Reads /proc only.
 */
import { existsSync, readFileSync } from 'node:fs';

export interface ProcessIdentity {
  pid: number;
  /** /proc/PID/stat field 22: clock ticks since boot, as text */
  startTime: string;
  /** /proc/sys/kernel/random/boot_id */
  bootId: string;
}

/**
 * proc_pid_stat(5): fields after the command, which is in parentheses and may hold anything; these are indexes behind
 * the last `)`.
 */
const STATE_FIELD = 0;
const START_TIME_FIELD = 19;

let bootId: string | undefined;
let self: ProcessIdentity | undefined;

function currentBootId(): string {
  bootId ??= readFileSync('/proc/sys/kernel/random/boot_id', 'latin1').trim();
  return bootId;
}

function stat(pid: number): { state: string; startTime: string } | undefined {
  let text: string;
  try {
    // `self`: in a VMM's jail (src/rootless/jail.ts) that is all there is
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

/** In a jail /proc has this process only. */
function seesOthers(): boolean {
  return existsSync('/proc/stat');
}

/**
 * Where start times cannot be read, a process with that pid is taken for the one meant: a claim is rather respected
 * than broken.
 */
function exists(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}

/** A zombie counts as dead: it holds nothing and does nothing any more. */
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
