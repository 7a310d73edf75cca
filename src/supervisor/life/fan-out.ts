/**
 * Carries a process's output to the log and to any number of clients, with back-pressure: when a client's buffer is
 * full the process's output is paused until it has drained. The client that started the container may hold it as long
 * as it likes, as a pipe would (`husk run … | less`); any other that makes no progress for a while is dropped, so that
 * a forgotten `attach` never stops a container for good. Nobody holds up a process's end.
 */
import type { Readable } from 'node:stream';
import { elapsed, startTimer, within } from '../../long-timer.ts';
import type { Lender } from '../../sandbox.ts';

/** bytes waiting for one client before the source is paused */
export const CLIENT_BUFFER = 1 << 20;
/** how long a client that did not start the container may stand still with a full buffer, ms */
export const STALL_TIMEOUT_MS = 10_000;

/**
 * bytes that may wait for one client once the process has ended: what its pipes held, of at most 1 MiB each
 * (/proc/sys/fs/pipe-max-size), and what waited before
 */
const LEFT_OVER = 8 << 20;

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

const DROPPED = 'husk: this client does not read; it was disconnected so that the container can go on';

export class FanOut {
  readonly #listeners = new Set<Listener>();
  readonly #blocked = new Set<Listener>();
  readonly #sources: Readable[] = [];
  readonly #ended: Promise<void>[] = [];
  #isEnding = false;
  /** elapsed(): a stepped wall clock ends no output */
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
      this.#lastData = elapsed();
      onChunk?.(Buffer.from(chunk));
      for (const listener of this.#listeners) {
        const waiting = listener.output(stream, chunk);
        if (this.#isEnding ? waiting > LEFT_OVER : waiting > CLIENT_BUFFER) this.#tooSlow(listener);
      }
    });
  }

  /** Listeners that were added first hear first: the log, then clients. */
  add(listener: Listener): void {
    this.#listeners.add(listener);
  }

  delete(listener: Listener): void {
    this.#listeners.delete(listener);
    this.#unblock(listener);
  }

  /**
   * The process has ended: what it has left behind is taken in at once, however slowly a client reads, so that its end
   * is recorded and its container can be stopped and removed. Each client is still sent all of it.
   */
  ending(): void {
    this.#isEnding = true;
    for (const source of this.#sources) source.resume();
  }

  /**
   * Resolves when every source has ended, or when nothing has come for `quiet` ms: a process that has exited may have
   * left children that hold its stdout open. One that writes on and on is listened to for `most` ms.
   */
  async drained(quiet: number, most = Infinity): Promise<void> {
    const ended = Promise.all(this.#ended);
    const since = elapsed();
    for (this.#lastData = since; ;) {
      if ((await within(ended, Math.min(quiet, most))) !== 'late') return;
      // timers come first in a turn of the event loop: after a time in which this process did not run, what came
      // meanwhile is not read yet
      await new Promise((afterReads) => setImmediate(afterReads));
      if ((this.#isEnding || this.#blocked.size === 0) && elapsed() - this.#lastData >= quiet) return;
      if (elapsed() - since >= most) return;
    }
  }

  #tooSlow(listener: Listener): void {
    if (this.#isEnding) {
      listener.drop(DROPPED);
      return this.delete(listener);
    }
    if (this.#blocked.has(listener)) return;
    this.#blocked.add(listener);
    for (const source of this.#sources) source.pause();
    let cancel = () => {};
    if (listener.stallTimeout !== undefined) {
      cancel = startTimer(listener.stallTimeout, () => {
        listener.drop(DROPPED);
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
