/** When to try again, and how long to wait before it: exponential back-off with jitter, and the server's Retry-After. */
import { setTimeout as sleep } from 'node:timers/promises';

/** tries in all, as Docker's --max-download-attempts */
export const MAX_ATTEMPTS = 5;
const FIRST_WAIT_MS = 250;
const LONGEST_WAIT_MS = 15_000;
/** a Retry-After beyond this is not waited for: the person decides */
const LONGEST_RETRY_AFTER_MS = 60_000;

/** timeouts, "too many requests" and the server's own failures; every other 4xx is final */
export const isRetryable = (status: number) => status === 408 || status === 429 || (status >= 500 && status !== 501);

/**
 * Seconds or an HTTP date (RFC 9110 §10.2.3).
 * @returns ms, or undefined when absent or unreadable
 */
export function parseRetryAfter(header: string | undefined, now = Date.now()): number | undefined {
  if (header === undefined) return undefined;
  if (/^\d{1,9}$/.test(header)) return Number(header) * 1000;
  const date = Date.parse(header);
  return Number.isNaN(date) ? undefined : Math.max(0, date - now);
}

/**
 * Waits before try number `attempt + 1`.
 * @param attempt 1 after the first failure
 * @returns false when it is not worth waiting: attempts used up, or the server asks for too much time
 */
export async function waitBeforeRetry(
  attempt: number,
  options: { retryAfter?: number; signal?: AbortSignal } = {},
): Promise<boolean> {
  if (attempt >= MAX_ATTEMPTS || (options.retryAfter ?? 0) > LONGEST_RETRY_AFTER_MS) return false;
  const backOff = Math.min(LONGEST_WAIT_MS, FIRST_WAIT_MS * 2 ** (attempt - 1)) * (0.5 + Math.random() / 2);
  await sleep(Math.max(backOff, options.retryAfter ?? 0), undefined, { signal: options.signal });
  return true;
}
