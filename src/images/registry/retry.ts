/**
 * When to try again, and how long to wait before it: exponential back-off with jitter, and the server's Retry-After.
 * The loop is p-retry's, which is loaded with the first request; which failures are worth another try is the caller's
 * to say.
 */
import { setTimeout as sleep } from 'node:timers/promises';

/** tries in all, as Docker's --max-download-attempts */
const MAX_ATTEMPTS = 5;
/** ms; half of it at least, by jitter */
const FIRST_WAIT = 250;
/** ms */
const LONGEST_WAIT = 15_000;
/** ms; a Retry-After beyond this is not waited for: the person decides */
const LONGEST_RETRY_AFTER = 60_000;

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
 * A failure that another try may mend. Thrown inside `withRetries` only, which throws its cause when no try is left.
 */
export class Transient extends Error {
  override readonly cause: Error;
  /** ms that the server asks to be left alone */
  readonly retryAfter: number;

  constructor(cause: Error, retryAfter = 0) {
    super(cause.message);
    this.cause = cause;
    this.retryAfter = retryAfter;
  }
}

/**
 * Tries until `attempt` succeeds or throws anything but `Transient`.
 * @throws what the last try threw, or an abort's error
 */
export async function withRetries<T>(
  attempt: () => Promise<T>,
  { attempts = MAX_ATTEMPTS, signal }: { attempts?: number; signal?: AbortSignal } = {},
): Promise<T> {
  const { default: retry } = await import('p-retry');
  try {
    return await retry(attempt, {
      retries: attempts - 1,
      // p-retry's jitter doubles at most, where a back-off's halves
      minTimeout: FIRST_WAIT / 2,
      maxTimeout: LONGEST_WAIT,
      randomize: true,
      signal,
      shouldRetry: async ({ error }) => {
        if (!(error instanceof Transient) || error.retryAfter > LONGEST_RETRY_AFTER) return false;
        await sleep(error.retryAfter, undefined, { signal });
        return true;
      },
    });
  } catch (error) {
    throw error instanceof Transient ? error.cause : error;
  }
}

/**
 * Waits before a broken stream is taken up again. That is no call that could be made anew, as p-retry would: bytes have
 * been handed on, and the next request asks for those after them.
 * @param fruitless tries in a row that brought too little, this one included
 * @returns false when there were too many
 */
export async function waitBeforeResume(fruitless: number, signal?: AbortSignal): Promise<boolean> {
  if (fruitless >= MAX_ATTEMPTS) return false;
  const backOff = Math.min(LONGEST_WAIT, FIRST_WAIT * 2 ** (fruitless - 1)) * (0.5 + Math.random() / 2);
  await sleep(backOff, undefined, { signal });
  return true;
}
