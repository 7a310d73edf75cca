/**
 * Clients that are attached before a command's start, by their tokens in its container's record: its output is held
 * until each has its streams. Knows no connection.
 */
import { within } from '../../long-timer.ts';
import { STALL_TIMEOUT_MS } from './fan-out.ts';

export class AwaitedClients {
  readonly #tokens: Set<string>;
  readonly #all = Promise.withResolvers<void>();

  constructor(tokens: readonly string[]) {
    this.#tokens = new Set(tokens);
  }

  /** These have their streams, or have gone. */
  arrived(tokens: readonly string[]): void {
    for (const token of tokens) this.#tokens.delete(token);
    if (this.#tokens.size === 0) this.#all.resolve();
  }

  /**
   * Resolves when all have arrived; one that does not come holds the command up no longer than one that stands still.
   */
  async all(): Promise<void> {
    if (this.#tokens.size > 0) await within(this.#all.promise, STALL_TIMEOUT_MS);
  }
}
