/**
 * Timers of any length. setTimeout of Node (and of browsers) takes milliseconds up to 2^31 - 1, some 24.8 days, and fires at once for more: a person's
 * `stop -t 3000000` would kill after a millisecond. Every wait whose length a person gives is made here.
 */

/** ms, TIMEOUT_MAX of Node's lib/internal/timers.js */
const LONGEST = 2 ** 31 - 1;

/** @param ms any number; Infinity never fires. @returns cancels it */
export function startTimer(ms: number, callback: () => void): () => void {
  let timer: NodeJS.Timeout;
  const wait = (left: number) => {
    timer = left > LONGEST ? setTimeout(() => wait(left - LONGEST), LONGEST) : setTimeout(callback, left);
  };
  wait(ms);
  return () => clearTimeout(timer);
}
