/**
 * Timers of any length. setTimeout of Node (and of browsers) accepts milliseconds up to 2^31 - 1, some 24.8 days, and
 * fires at once for more: `stop -t 3000000` would kill after a millisecond. Every wait of husk uses this module, so
 * that none has that fault. It measures time and waits for it; a loop that polls belongs to the caller.
 */

/** ms, TIMEOUT_MAX of Node's lib/internal/timers.js */
const LONGEST = 2 ** 31 - 1;

export interface TimerOptions {
  /** Whether the timer alone does not keep the process alive. @default false */
  unref?: boolean;
}

export interface AfterOptions extends TimerOptions {
  /** Ends the wait early when it aborts. */
  signal?: AbortSignal | undefined;
}

/**
 * @returns milliseconds of a monotonic clock, since some moment. performance.now() would be the same, but the first use
 * of `performance` loads ten modules of Node's, for 2 ms of CPU and 0.1 MB of each process.
 */
export function elapsed(): number {
  const [seconds, nanoseconds] = process.hrtime();
  return seconds * 1e3 + nanoseconds / 1e6;
}

/** Holds the whole thread up, timers and streams too: for a few ms, where a call must be synchronous. @param ms */
export function pauseThread(ms: number): void {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms);
}

/**
 * @param ms any number; Infinity never fires
 * @returns a function that cancels the timer
 */
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
 * Waits for a promise, but at most for so many milliseconds. The promise continues afterwards; a later rejection does
 * not count as unhandled.
 * @returns what the promise resolves with, or 'late'
 * @throws what it rejects with in time
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
