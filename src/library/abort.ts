/** Waits that a program may abort. Only the waiting ends; the work that was waited for continues. */

/** Waits until the signal aborts. @throws the signal's reason */
export async function abortable<T>(wait: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (!signal) return wait;
  // Nobody awaits the promise after an abort, so its rejection must not count as unhandled.
  wait.catch(() => {});
  signal.throwIfAborted();
  const { promise, reject } = Promise.withResolvers<never>();
  const abort = () => reject(signal.reason);
  signal.addEventListener('abort', abort, { once: true });
  try {
    return await Promise.race([wait, promise]);
  } finally {
    signal.removeEventListener('abort', abort);
  }
}
