/**
 * Timers of any length. setTimeout of Node (and of browsers) takes milliseconds up to 2^31 - 1, some 24.8 days, and
 * fires at once for more: a person's `stop -t 3000000` would kill after a millisecond. Every wait of husk is made here,
 * so that none has that fault. Waits for time only; a loop that looks again and again is the caller's.
 */

/** ms, TIMEOUT_MAX of Node's lib/internal/timers.js */
const LONGEST = 2 ** 31 - 1;

export interface TimerOptions {
  /** The timer alone does not keep the process alive. @default false */
  unref?: boolean;
}

export interface AfterOptions extends TimerOptions {
  /** ends the wait early */
  signal?: AbortSignal | undefined;
}

/** @param ms any number; Infinity never fires. @returns cancels it */
export function startTimer(ms: number, callback: () => void, { unref = false }: TimerOptions = {}): () => void {
  let timer: NodeJS.Timeout;
  const wait = (left: number) => {
    timer = left > LONGEST ? setTimeout(() => wait(left - LONGEST), LONGEST) : setTimeout(callback, left);
    if (unref) timer.unref();
  };
  wait(ms);
  return () => clearTimeout(timer);
}

/**
 * Resolves after a number of milliseconds.
 * @throws the signal's reason as soon as it is aborted
 */
export function after(ms: number, { signal, unref }: AfterOptions = {}): Promise<void> {
  return new Promise((resolve, reject) => {
    if (signal?.aborted) return reject(signal.reason as Error);
    const abort = () => {
      cancel();
      reject(signal!.reason as Error);
    };
    const cancel = startTimer(
      ms,
      () => {
        signal?.removeEventListener('abort', abort);
        resolve();
      },
      { unref },
    );
    signal?.addEventListener('abort', abort, { once: true });
  });
}

/**
 * Waits for a promise, and for so many milliseconds at most. The promise goes on afterwards; its rejection then is
 * nobody's.
 * @returns what it resolves with, or 'late'. @throws what it rejects with in time
 */
export async function within<T>(promise: Promise<T>, ms: number, options?: TimerOptions): Promise<T | 'late'> {
  let cancel = () => {};
  const late = new Promise<'late'>((resolve) => (cancel = startTimer(ms, () => resolve('late'), options)));
  try {
    return await Promise.race([promise, late]);
  } finally {
    cancel();
  }
}
