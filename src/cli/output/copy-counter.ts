/** The line that `cp` shows on a terminal while it copies, and the line that it prints at the end unless quiet. */
import type { Output } from '../grammar/command.ts';
import { humanSize } from './units.ts';

/** ms before the first line, and between two; a short copy shows none */
const FIRST = 75;
const EVERY = 100;
const DIGITS = 4;
/** carriage return, and ECMA-48's erase in line */
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

  /** @param total bytes that have been copied */
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
