/**
 * How pasta and passt say that they are up, and why they are not: both were told to write their pid to stdout once
 * everything is set up.
 */
import type { Launched } from '../launch/executor.ts';

/** of both: their stdout. Not /dev/stdout, which not every /dev has */
export const PID_FILE = '/proc/self/fd/1';

/**
 * ms until the interface must be there. One that fails ends: this is for what hangs, and a start on a host whose CPUs
 * are all taken is many times slower than on a free one.
 */
const READY_TIMEOUT = 60_000;

/** @throws Error with an exit status, or when nothing was heard in time */
export async function untilReady(launched: Launched): Promise<void> {
  const written = new Promise<void>((resolve) => launched.stdout!.once('data', () => resolve()));
  await launched.started;
  const timeout = Promise.withResolvers<never>();
  const timer = setTimeout(
    () => timeout.reject(new Error(`no interface after ${READY_TIMEOUT / 1000} s`)),
    READY_TIMEOUT,
  );
  const ended = launched.exited.then(({ code }) => Promise.reject(new Error(`exit status ${code}`)));
  ended.catch(() => {});
  try {
    await Promise.race([written, ended, timeout.promise]);
  } finally {
    clearTimeout(timer);
  }
}

/** The last line of what was said on stderr; what goes to a missing system logger is of no interest. */
export function reasonOf(said: string): string | undefined {
  return said
    .split('\n')
    .filter((line) => line !== '' && !/syslog|^Don't run as root/.test(line))
    .at(-1);
}
