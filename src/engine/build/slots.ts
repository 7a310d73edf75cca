/**
 * How many steps run at a time. A step waits for a slot only when it has all that it needs, so that none waits
 * forever.
 */
export class Slots {
  #free: number;
  readonly #waiting: (() => void)[] = [];

  constructor(count: number) {
    this.#free = count;
  }

  async take(signal: AbortSignal): Promise<Disposable> {
    signal.throwIfAborted();
    if (this.#free > 0) this.#free--;
    else
      await new Promise<void>((resolve, reject) => {
        const abort = (): void => {
          this.#waiting.splice(this.#waiting.indexOf(next), 1);
          reject(signal.reason as Error);
        };
        const next = (): void => {
          signal.removeEventListener('abort', abort);
          resolve();
        };
        this.#waiting.push(next);
        signal.addEventListener('abort', abort, { once: true });
      });
    return { [Symbol.dispose]: () => this.#release() };
  }

  #release(): void {
    const next = this.#waiting.shift();
    if (next) next();
    else this.#free++;
  }
}
