/** How often something may happen: so many times a second, and a few more at once. Knows only when it happened. */

export class Pace {
  readonly #each: number;
  readonly #burst: number;
  readonly #now: () => number;
  #left: number;
  /** ms */
  #at: number;

  /** @param options.each a second @param options.burst at once @param options.now ms, @default the monotonic clock */
  constructor({ each, burst, now = () => performance.now() }: { each: number; burst: number; now?: () => number }) {
    this.#each = each;
    this.#burst = burst;
    this.#now = now;
    this.#left = burst;
    this.#at = now();
  }

  #gain(): void {
    const now = this.#now();
    this.#left = Math.min(this.#burst, this.#left + ((now - this.#at) * this.#each) / 1000);
    this.#at = now;
  }

  /** @returns whether it may happen now; then it has */
  take(): boolean {
    this.#gain();
    if (this.#left < 1) return false;
    this.#left--;
    return true;
  }

  /** ms until it may happen again */
  get wait(): number {
    this.#gain();
    return Math.max(0, ((1 - this.#left) * 1000) / this.#each);
  }
}
