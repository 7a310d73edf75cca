/**
 * How long the open files of a container that does not run are kept: as long as somebody uses them, and for a machine,
 * which took seconds to boot, a little longer, for who comes next (`diff`, then `cp`, then `commit`). Whoever wants the
 * container itself says so, and does not wait for that. Counts; knows neither sandboxes nor records.
 */
import { startTimer } from '../../long-timer.ts';

/** ms; longer than a script takes from one command to the next, and no longer than a person notices */
export const KEEP_MACHINE = 5000;

export class KeptFiles {
  readonly #keep: number;
  readonly #close: () => void;
  #users = 1;
  #cancel = () => {};
  #wanted = false;
  #closed = false;

  /** @param close called once, when nobody uses them any more @param options.keep ms to wait for the next */
  constructor(close: () => void, options: { keep: number }) {
    this.#close = close;
    this.#keep = options.keep;
  }

  /** @returns false when it is too late: they are being closed, or somebody waits for that */
  join(): boolean {
    if (this.#closed || this.#wanted) return false;
    this.#cancel();
    this.#users++;
    return true;
  }

  leave(): void {
    if (--this.#users > 0) return;
    if (this.#wanted || this.#keep === 0) return this.#end();
    this.#cancel = startTimer(this.#keep, () => this.#end());
  }

  /** Somebody wants the container: whoever uses its files goes on, nobody else comes. */
  release(): void {
    this.#wanted = true;
    if (this.#users === 0) this.#end();
  }

  #end(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#cancel();
    this.#close();
  }
}
