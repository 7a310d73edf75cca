/** Makes Ctrl-C abort a transfer cleanly, instead of killing the process in the middle of it. */
import { HuskError } from '../errors.ts';

/** exit code of a program that SIGINT ended, as the shell shows it: 128 + 2 */
const INTERRUPTED = 130;

/** @param message the text that the user gets after Ctrl-C */
export function abortOnInterrupt(message: string): { signal: AbortSignal } & Disposable {
  const controller = new AbortController();
  const stop = (): void => controller.abort(new HuskError(message, { kind: 'unavailable', exitCode: INTERRUPTED }));
  process.once('SIGINT', stop);
  return { signal: controller.signal, [Symbol.dispose]: () => void process.off('SIGINT', stop) };
}
