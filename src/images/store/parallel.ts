/**
 * Works on items a few at a time, and starts them in order. The first failure aborts the others; it is thrown after all
 * have ended, so that no work continues after the call.
 */
export async function inParallel<T>(
  items: readonly T[],
  options: { limit: number; signal?: AbortSignal },
  work: (item: T, signal: AbortSignal) => Promise<void>,
): Promise<void> {
  const failed = new AbortController();
  const signal = options.signal ? AbortSignal.any([options.signal, failed.signal]) : failed.signal;
  const waiting = [...items];
  let firstError: unknown;
  const worker = async () => {
    while (waiting.length > 0 && !failed.signal.aborted) {
      try {
        await work(waiting.shift()!, signal);
      } catch (error) {
        firstError ??= error;
        failed.abort();
      }
    }
  };
  await Promise.all(Array.from({ length: Math.min(options.limit, items.length) }, worker));
  if (failed.signal.aborted) throw firstError;
}
