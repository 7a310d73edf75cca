/**
 * Keeps a guest's wall clock beside the host's. Its rate is the host's already (kvmclock); what it does not learn by
 * itself is that the host's clock was set, corrected by NTP, or stood still in a suspend. The guest is asked what time
 * it has, and told by how much it is wrong: a difference is as true when it arrives late as when it is sent, which a
 * time is not.
 *
 * The answer is the guest's word, and harms nobody but the guest.
 */
import { MOST_SLEW } from '../agent-protocol.ts';
import { watchClockSet } from '../host/kernel/clock.ts';
import type { Watch } from '../host/streams/poll.ts';

/** ms between two looks: a clock that NTP slews by 500 ppm, the most there is (adjtimex(2)), is 15 ms away by then */
const EVERY = 30_000;
/** ms that are left alone: what the guest's answer is rounded to, and what scheduling blurs */
const TOLERANCE = 5;
/**
 * looks in a row, until the clock is right: an answer that took long says little, and a host that sets its clock may do
 * so again
 */
const TRIES = 5;
/** ms: a guest's clock of the year 275760 is as wrong as one without a number */
const MAX_TIME = 8.64e15;

export interface ClockSeam {
  /** ms since the epoch, and of a clock that nobody sets */
  wall(): number;
  steady(): number;
  /** calls back whenever the wall clock was set, or the host woke up */
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
  /** the clock was set while it was looked at */
  #again = false;
  #ended = false;

  /**
   * @param ask the guest for its time in ms since the epoch; with a number, after it has moved its clock by so many ms
   */
  constructor(ask: (shift?: number) => Promise<unknown>, host: ClockSeam = HOST) {
    this.#ask = ask;
    this.#host = host;
    this.#watch = host.watch(() => void this.look());
    this.#timer = host.every(EVERY, () => void this.look());
  }

  /** Never rejects: a guest that does not answer is told of elsewhere. */
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
      if (Math.abs(ahead.least) <= TOLERANCE) return;
      await this.#ask(-ahead.likely).catch(() => {});
      // it is on its way, and not there yet
      if (Math.abs(ahead.likely) < MOST_SLEW) return;
    }
  }

  /** @returns ms by which the guest's clock is ahead: likely, and at the very least; undefined when it has none */
  async #ahead(): Promise<{ likely: number; least: number } | undefined> {
    const [wall, steady] = [this.#host.wall(), this.#host.steady()];
    const time = await this.#ask();
    if (typeof time !== 'number' || !(Math.abs(time) <= MAX_TIME)) return undefined;
    const took = this.#host.steady() - steady;
    const likely = time - (wall + took / 2);
    return { likely, least: Math.sign(likely) * Math.max(0, Math.abs(likely) - took / 2) };
  }

  [Symbol.dispose](): void {
    this.#ended = true;
    this.#watch.close();
    this.#timer[Symbol.dispose]();
  }
}
