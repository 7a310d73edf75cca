/**
 * When to try again, and how long to wait before that: exponential back-off with jitter, and the server's Retry-After.
 * The loop is p-retry's, which is loaded with the first request; the caller decides which failures are worth another
 * try.
 */
import { after } from '../../long-timer.ts';

/** tries in all, Docker's default for --max-download-attempts */
const MAX_ATTEMPTS = 5;
/** ms before the second try; jitter shortens it, to no less than half */
const FIRST_WAIT = 250;
/** ms that one wait may take */
const LONGEST_WAIT = 15_000;
/** ms; a longer Retry-After is not waited for, so that the user can decide */
const LONGEST_RETRY_AFTER = 60_000;

/**
 * @returns whether a status is worth another try: timeouts, "too many requests" and the server's own failures; every
 * other 4xx is final
 */
export const isRetryable = (status: number) => status === 408 || status === 429 || (status >= 500 && status !== 501);

/**
 * Parses seconds or an HTTP date (RFC 9110 §10.2.3).
 * @returns ms, or undefined when absent or unreadable
 */
export function parseRetryAfter(header: string | undefined, now = Date.now()): number | undefined {
  if (header === undefined) return undefined;
  if (/^\d{1,9}$/.test(header)) return Number(header) * 1000;
  const date = Date.parse(header);
  return Number.isNaN(date) ? undefined : Math.max(0, date - now);
}

/**
 * A failure that another try may overcome. It is thrown inside `withRetries` only, which throws its cause when no try
 * is left.
 */
export class Transient extends Error {
  override readonly cause: Error;
  /** ms that the server asks the client to wait */
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
      // p-retry's jitter multiplies a wait by one to two, that of this back-off by a half to one.
      minTimeout: FIRST_WAIT / 2,
      maxTimeout: LONGEST_WAIT,
      randomize: true,
      signal,
      shouldRetry: async ({ error }) => {
        if (!(error instanceof Transient) || error.retryAfter > LONGEST_RETRY_AFTER) return false;
        await after(error.retryAfter, { signal });
        return true;
      },
    });
  } catch (error) {
    throw error instanceof Transient ? error.cause : error;
  }
}

/**
 * Waits before a broken stream is resumed. p-retry cannot do this, because it would repeat a whole call: bytes have
 * been handed on already, and the next request asks for those after them.
 * @param fruitless tries in a row that brought too little, this one included
 * @returns false when there were too many
 */
export async function waitBeforeResume(fruitless: number, signal?: AbortSignal): Promise<boolean> {
  if (fruitless >= MAX_ATTEMPTS) return false;
  const backOff = Math.min(LONGEST_WAIT, FIRST_WAIT * 2 ** (fruitless - 1)) * (0.5 + Math.random() / 2);
  await after(backOff, { signal });
  return true;
}
