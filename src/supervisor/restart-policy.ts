/** When a container that has exited starts again, and how long it waits before: Docker's rules. Decides only. */

/** first wait, ms; doubled at each restart (docs: `docker run --restart`) */
const FIRST_DELAY_MS = 100;
const MAX_DELAY_MS = 60_000;
/** a container that ran so long (ms) begins with the first delay again */
const GOOD_RUN_MS = 10_000;

export interface RestartPolicy {
  name: 'no' | 'always' | 'unless-stopped' | 'on-failure';
  /** 0 is no bound */
  maximumRetryCount: number;
}

export function shouldRestart(policy: RestartPolicy, exit: { exitCode: number; stoppedByUser: boolean; restarts: number }): boolean {
  if (exit.stoppedByUser || policy.name === 'no') return false;
  if (policy.name !== 'on-failure') return true;
  return exit.exitCode !== 0 && (policy.maximumRetryCount === 0 || exit.restarts < policy.maximumRetryCount);
}

export class RestartBackOff {
  #delay = 0;
  #startedAt = 0;

  /** @param now ms */
  started(now: number = Date.now()): void {
    this.#startedAt = now;
  }

  /** @returns ms to wait before the next start */
  next(now: number = Date.now()): number {
    const fresh = this.#delay === 0 || now - this.#startedAt >= GOOD_RUN_MS;
    this.#delay = fresh ? FIRST_DELAY_MS : Math.min(this.#delay * 2, MAX_DELAY_MS);
    return this.#delay;
  }
}
