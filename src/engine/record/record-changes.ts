/**
 * Waiting for a record to become what it is waited for: the kernel's notice that the database's write-ahead log has
 * changed says when to look again. Reads and writes nothing itself.
 */
import { watch } from 'node:fs';
import { after, startTimer } from '../../long-timer.ts';
import type { Paths } from '../../paths.ts';

/** ms until one looks all the same: a process that is killed writes nothing, and a notice may be lost */
export const LOOK_EVERY_MS = 50;
/** ms between two looks, however much is written: others' records are in the same log */
export const LEAST_MS = 5;

/** What a look says that has not found what is waited for. */
export const NOT_YET = Symbol('not yet');

/**
 * Looks at once, and then whenever a record may have changed, one look at a time.
 * @returns what the first look has found that does not say NOT_YET. @throws what a look throws, and the signal's reason
 */
export async function untilFound<T>(
  { paths }: { paths: Pick<Paths, 'database'> },
  look: () => T | typeof NOT_YET | Promise<T | typeof NOT_YET>,
  { signal }: { signal?: AbortSignal | undefined } = {},
): Promise<T> {
  signal?.throwIfAborted();
  const first = await look();
  if (first !== NOT_YET) return first;
  using notice = new ChangeNotice(paths);
  for (;;) {
    signal?.throwIfAborted();
    // begins before the look: what is written during it is noticed
    const changed = notice.next();
    const found = await look();
    if (found !== NOT_YET) return found;
    await Promise.all([changed(LOOK_EVERY_MS, signal), after(LEAST_MS, { signal })]);
  }
}

/** Whether the database has changed since it was last asked. */
export class ChangeNotice implements Disposable {
  #changed = false;
  #wake: (() => void) | undefined;
  #watcher: ReturnType<typeof watch> | undefined;

  constructor({ database }: Pick<Paths, 'database'>) {
    try {
      this.#watcher = watch(`${database}-wal`, () => this.changed());
      this.#watcher.on('error', () => {});
    } catch {
      // no watches left: the timer does
    }
  }

  /** Whether the kernel tells of changes; where it does not, only time does. */
  get isTold(): boolean {
    return this.#watcher !== undefined;
  }

  /** Ends the waiting as a change of the database does: its user has another reason to look. */
  changed(): void {
    this.#changed = true;
    this.#wake?.();
  }

  /** @returns waits until it has changed since this call, or so many ms are over, or the signal is aborted */
  next(): (ms: number, signal: AbortSignal | undefined) => Promise<void> {
    this.#changed = false;
    return (ms, signal) =>
      new Promise((resolve) => {
        if (this.#changed || ms <= 0 || signal?.aborted) return resolve();
        const done = () => {
          cancel();
          signal?.removeEventListener('abort', done);
          this.#wake = undefined;
          resolve();
        };
        const cancel = startTimer(ms, done);
        signal?.addEventListener('abort', done);
        this.#wake = done;
      });
  }

  [Symbol.dispose](): void {
    this.#watcher?.close();
  }
}
