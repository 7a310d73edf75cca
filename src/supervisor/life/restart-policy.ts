/** When a container that has exited starts again, and how long it waits before: Docker's rules. Decides only. */
import { elapsed } from '../../long-timer.ts';
import type { RestartPolicy, Task } from '../protocol/protocol.ts';

/** first wait, ms; doubled at each restart (docs: `docker run --restart`) */
const FIRST_DELAY_MS = 100;
const MAX_DELAY_MS = 60_000;
/** a container that ran so long (ms) begins with the first delay again */
const GOOD_RUN_MS = 10_000;

const SIGINT = 2;
const SIGQUIT = 3;
const SIGKILL = 9;
const SIGTERM = 15;

/**
 * Does a signal that a person sends ask the container to end? Docker rests after any (moby daemon/kill.go); a SIGHUP
 * that only reloads a configuration should not.
 */
export function asksToEnd(signal: number, stopSignal: number): boolean {
  return signal === stopSignal || [SIGINT, SIGQUIT, SIGKILL, SIGTERM].includes(signal);
}

/** A VMM without a restart policy at its start keeps no right to make another machine (lock-down.ts). */
export function mayRestart(task: Pick<Task, 'isolation' | 'restart'>): boolean {
  return task.isolation !== 'vm' || task.restart.name !== 'no';
}

export function shouldRestart(
  policy: RestartPolicy,
  exit: { exitCode: number; /** told to end, by a person or its host */ ending: boolean; restarts: number },
): boolean {
  if (exit.ending || policy.name === 'no') return false;
  if (policy.name !== 'on-failure') return true;
  return exit.exitCode !== 0 && (policy.maximumRetryCount === 0 || exit.restarts < policy.maximumRetryCount);
}

export class RestartBackOff {
  #delay = 0;
  #startedAt = 0;

  /** @param now ms of a clock that nobody sets */
  started(now: number = elapsed()): void {
    this.#startedAt = now;
  }

  /** @returns ms to wait before the next start */
  next(now: number = elapsed()): number {
    const fresh = this.#delay === 0 || now - this.#startedAt >= GOOD_RUN_MS;
    this.#delay = fresh ? FIRST_DELAY_MS : Math.min(this.#delay * 2, MAX_DELAY_MS);
    return this.#delay;
  }
}
