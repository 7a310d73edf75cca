/**
 * Requests of one connection in their order, one at a time. Node hands pipelined requests over at once; their effects
 * would race (create, start), and their number would have no bound.
 */
import { MAX_PIPELINED } from './bounds.ts';

interface Line {
  /** requests that are not answered yet */
  count: number;
  last: Promise<void>;
}

export class InTurn {
  readonly #lines = new WeakMap<object, Line>();

  /**
   * @param answered kept when the request is answered, or its client has gone
   * @returns kept when it is the request's turn; undefined where too many wait
   */
  next(connection: object, answered: Promise<void>): Promise<void> | undefined {
    const line = this.#lines.get(connection) ?? { count: 0, last: Promise.resolve() };
    if (line.count >= MAX_PIPELINED) return undefined;
    this.#lines.set(connection, line);
    line.count++;
    const turn = line.last;
    line.last = Promise.all([turn, answered]).then(() => void line.count--);
    return turn;
  }

  isBusy(connection: object): boolean {
    return (this.#lines.get(connection)?.count ?? 0) > 0;
  }
}
