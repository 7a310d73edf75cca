/** Waits for the end of a process that a record names and somebody has killed. */
import { pidfdOpen } from '../../host/kernel/process.ts';
import { SyscallError } from '../../host/libc.ts';
import { watchReadable } from '../../host/streams/poll.ts';
import { within } from '../../long-timer.ts';
import { isAlive, type ProcessIdentity } from '../../state/process-identity.ts';

/**
 * A killed process lives for another moment, on a busy machine for a long one.
 * @param ms after which it is waited for no more
 */
export async function untilEnded(identity: ProcessIdentity | undefined, ms: number): Promise<void> {
  if (!isAlive(identity)) return;
  try {
    using held = pidfdOpen(identity!.pid);
    // Between looking and opening its number may have become another's.
    if (!isAlive(identity)) return;
    const { promise, resolve } = Promise.withResolvers<void>();
    using _watch = watchReadable(held.number, resolve);
    await within(promise, ms);
  } catch (error) {
    if (!(error instanceof SyscallError && error.code === 'ESRCH')) throw error;
  }
}
