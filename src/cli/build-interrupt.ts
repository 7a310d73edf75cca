/**
 * Ctrl-C and SIGTERM of a build: the first one cancels it, and what runs gets TERM and two seconds; a second one ends
 * husk at once, and with it all that the build holds.
 */
import { constants } from 'node:os';
import { HuskError } from '../errors.ts';

const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;

export function interruptions(): { signal: AbortSignal; readonly exitCode: number | undefined } & Disposable {
  const controller = new AbortController();
  let exitCode: number | undefined;
  const onSignal = (signal: NodeJS.Signals): void => {
    if (exitCode !== undefined) process.exit(exitCode);
    exitCode = 128 + constants.signals[signal];
    controller.abort(new HuskError('the build was interrupted', { kind: 'unavailable', exitCode }));
  };
  for (const signal of SIGNALS) process.on(signal, onSignal);
  return {
    signal: controller.signal,
    get exitCode() {
      return exitCode;
    },
    [Symbol.dispose]() {
      for (const signal of SIGNALS) process.off(signal, onSignal);
    },
  };
}
