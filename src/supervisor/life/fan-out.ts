/**
 * Carries a process's output to the log and to any number of clients, with back-pressure: when a client's buffer is
 * full the process's output is paused until it has drained. The client that started the container may hold it as long
 * as it likes, as a pipe would (`husk run … | less`); any other that makes no progress for a while is dropped, so that
 * a forgotten `attach` never stops a container for good.
 */
import type { Readable } from 'node:stream';
import { startTimer, within } from '../../long-timer.ts';
import type { Lender } from '../../sandbox.ts';

/** bytes waiting for one client before the source is paused */
export const CLIENT_BUFFER = 1 << 20;
/** how long a client that did not start the container may stand still with a full buffer, ms */
export const STALL_TIMEOUT_MS = 10_000;

export interface Listener {
  /** Keeps nothing of the chunk itself. @returns bytes that wait in this listener's buffer afterwards */
  output(stream: 'stdout' | 'stderr', chunk: Buffer): number;
  /** calls back once the buffer is empty, or the listener gone */
  onceDrained(callback: () => void): void;
  /** undefined: may hold up the process for ever */
  stallTimeout: number | undefined;
  /** ends the conversation with a message */
  drop(message: string): void;
}

export class FanOut {
  readonly #listeners = new Set<Listener>();
  readonly #blocked = new Set<Listener>();
  readonly #sources: Readable[] = [];
  readonly #ended: Promise<void>[] = [];
  /** performance.now(): a stepped wall clock ends no output */
  #lastData = 0;

  /** @param onChunk sees every chunk first, and holds nothing up */
  addSource(source: Readable, stream: 'stdout' | 'stderr', onChunk?: (chunk: Buffer) => void): void {
    this.#sources.push(source);
    // listeners take a chunk apart at once: a log encodes it, a client's frame is a copy
    if ('lend' in source) (source as Readable & Lender).lend = true;
    this.#ended.push(
      new Promise((resolve) => {
        source.once('close', resolve);
        source.once('end', resolve);
        source.once('error', () => resolve());
      }),
    );
    source.on('data', (chunk: Buffer) => {
      this.#lastData = performance.now();
      onChunk?.(Buffer.from(chunk));
      for (const listener of this.#listeners) {
        if (listener.output(stream, chunk) > CLIENT_BUFFER && !this.#blocked.has(listener)) this.#block(listener);
      }
    });
  }

  /** Those added first hear first: the log, then clients. */
  add(listener: Listener): void {
    this.#listeners.add(listener);
  }

  delete(listener: Listener): void {
    this.#listeners.delete(listener);
    this.#unblock(listener);
  }

  /**
   * Resolves when every source has ended, or when nothing has come for `quiet` ms: a process that has exited may have
   * left children that hold its stdout open.
   */
  async drained(quiet: number): Promise<void> {
    const ended = Promise.all(this.#ended);
    for (this.#lastData = performance.now(); ;) {
      if ((await within(ended, quiet)) !== 'late') return;
      // timers come first in a turn of the event loop: after a time in which this process did not run, what came
      // meanwhile is not read yet
      await new Promise((afterReads) => setImmediate(afterReads));
      if (this.#blocked.size === 0 && performance.now() - this.#lastData >= quiet) return;
    }
  }

  #block(listener: Listener): void {
    this.#blocked.add(listener);
    for (const source of this.#sources) source.pause();
    let cancel = () => {};
    if (listener.stallTimeout !== undefined) {
      cancel = startTimer(listener.stallTimeout, () => {
        listener.drop('husk: this client does not read; it was disconnected so that the container can go on');
        this.delete(listener);
      });
    }
    listener.onceDrained(() => {
      cancel();
      this.#unblock(listener);
    });
  }

  #unblock(listener: Listener): void {
    if (!this.#blocked.delete(listener) || this.#blocked.size > 0) return;
    for (const source of this.#sources) source.resume();
  }
}
