/**
 * Keeps a guest's wall clock in step with the host's. The rate of the guest's clock is the host's already (kvmclock);
 * the guest does not notice by itself that the host's clock was set, corrected by NTP, or stopped during a suspend. The
 * host asks the guest for its time and sends back by how much it is wrong: a difference stays right however late it
 * arrives, which a time does not.
 *
 * The answer is the guest's word, and a wrong one harms only the guest.
 */
import { MOST_SLEW } from '../agent-protocol.ts';
import { watchClockSet } from '../host/kernel/clock.ts';
import type { Watch } from '../host/streams/poll.ts';

/** ms between two checks: NTP slews a clock by 500 ppm at most (adjtimex(2)), which is 15 ms in this time */
const EVERY = 30_000;
/** ms of difference that are not corrected: the guest's answer is rounded, and scheduling blurs it */
const TOLERANCE = 5;
/**
 * ms: an answer that took longer does not show that the clock is right, so the guest is asked once more. The first one
 * of a machine out of a template takes long on a busy host, because the memory of what answers comes page by page.
 */
const EXACT = 40;
/**
 * checks in a row until the clock is right: an answer that took long is inexact, and a host that sets its clock may do
 * so again
 */
const TRIES = 5;
/** ms: a guest's clock in the year 275760 is as wrong as an answer that is no number */
const MAX_TIME = 8.64e15;

export interface ClockSeam {
  /** ms since the epoch; `steady` is ms of a clock that is never set */
  wall(): number;
  steady(): number;
  /** calls back whenever the wall clock was set, or the host resumed from a suspend */
  watch(onSet: () => void): Pick<Watch, 'close'>;
  every(ms: number, look: () => void): Disposable;
}

const HOST: ClockSeam = {
  wall: () => Date.now(),
  steady: () => performance.now(),
  watch: (onSet) => {
    const watch = watchClockSet(onSet);
    watch.unref();
    return watch;
  },
  every: (ms, look) => {
    const timer = setInterval(look, ms).unref();
    return { [Symbol.dispose]: () => clearInterval(timer) };
  },
};

export class GuestClock implements Disposable {
  readonly #ask: (shift?: number) => Promise<unknown>;
  readonly #host: ClockSeam;
  readonly #watch: Pick<Watch, 'close'>;
  readonly #timer: Disposable;
  #looking: Promise<void> | undefined;
  /** whether the clock was set during a check */
  #again = false;
  #ended = false;

  /**
   * @param ask asks the guest for its time in ms since the epoch; with a number, after the guest has moved its clock by
   * so many ms
   */
  constructor(ask: (shift?: number) => Promise<unknown>, host: ClockSeam = HOST) {
    this.#ask = ask;
    this.#host = host;
    this.#watch = host.watch(() => void this.look());
    this.#timer = host.every(EVERY, () => void this.look());
  }

  /** Checks the guest's clock. The promise never rejects: a guest that does not answer is reported elsewhere. */
  look(): Promise<void> {
    this.#again = true;
    this.#looking ??= Promise.resolve()
      .then(() => this.#settle())
      .finally(() => (this.#looking = undefined));
    return this.#looking;
  }

  async #settle(): Promise<void> {
    for (let tries = 0; tries < TRIES && !this.#ended; tries++) {
      if (this.#again) tries = 0;
      this.#again = false;
      const ahead = await this.#ahead().catch(() => undefined);
      if (this.#again) continue;
      if (ahead === undefined || this.#ended) return;
      if (Math.abs(ahead.least) <= TOLERANCE) {
        if (ahead.took <= EXACT) return;
        continue;
      }
      await this.#ask(-ahead.likely).catch(() => {});
      // The guest's kernel slews a small difference, so its clock is not right yet.
      if (Math.abs(ahead.likely) < MOST_SLEW) return;
    }
  }

  /**
   * @returns ms by which the guest's clock is ahead, probably and at the very least, and ms that its answer took;
   *   undefined when it has no clock
   */
  async #ahead(): Promise<{ likely: number; least: number; took: number } | undefined> {
    const [wall, steady] = [this.#host.wall(), this.#host.steady()];
    const time = await this.#ask();
    if (typeof time !== 'number' || !(Math.abs(time) <= MAX_TIME)) return undefined;
    const took = this.#host.steady() - steady;
    const likely = time - (wall + took / 2);
    return { likely, least: Math.sign(likely) * Math.max(0, Math.abs(likely) - took / 2), took };
  }

  [Symbol.dispose](): void {
    this.#ended = true;
    this.#watch.close();
    this.#timer[Symbol.dispose]();
  }
}
