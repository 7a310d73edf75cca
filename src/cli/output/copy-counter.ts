/**
 * The one line that `cp` shows while it copies, and the one it leaves behind. On a terminal only, unless told
 * otherwise.
 */
import type { Output } from '../grammar/command.ts';
import { humanSize } from './units.ts';

/** ms before the first line, and between two: what is over at once shows nothing */
const FIRST = 75;
const EVERY = 100;
const DIGITS = 4;
/** ECMA-48: carriage return, erase in line */
const CLEAR = '\r\x1b[K';

export class CopyCounter {
  readonly #output: Output;
  readonly #quiet: boolean;
  readonly #what: string;
  #total = 0;
  #next = performance.now() + FIRST;
  #shown = false;

  constructor(output: Output, options: { quiet: boolean; what: string }) {
    this.#output = output;
    this.#quiet = options.quiet;
    this.#what = options.what;
  }

  /** @param total bytes so far */
  show(total: number): void {
    this.#total = total;
    if (this.#quiet || !this.#output.isTTY || performance.now() < this.#next) return;
    this.#next = performance.now() + EVERY;
    this.#shown = true;
    this.#output.write(`${CLEAR}${this.#what}${humanSize(total, DIGITS)}`);
  }

  end(where: string): void {
    this.clear();
    if (!this.#quiet) this.#output.write(`Successfully copied ${humanSize(this.#total, 3)} to ${where}\n`);
  }

  clear(): void {
    if (this.#shown) this.#output.write(CLEAR);
    this.#shown = false;
  }
}
