/** A file descriptor that is closed exactly once. */
import { closeSync } from 'node:fs';

export class Fd implements Disposable {
  #number: number;

  constructor(number: number) {
    this.#number = number;
  }

  /** @throws Error when it is closed or given away: a stale number could be another file by now */
  get number(): number {
    if (this.#number < 0) throw new Error('file descriptor used after it was closed');
    return this.#number;
  }

  get closed(): boolean {
    return this.#number < 0;
  }

  /** hands the number to another owner, who closes it */
  release(): number {
    const number = this.number;
    this.#number = -1;
    return number;
  }

  close(): void {
    if (this.#number < 0) return;
    const number = this.#number;
    this.#number = -1;
    closeSync(number);
  }

  [Symbol.dispose](): void {
    this.close();
  }
}
