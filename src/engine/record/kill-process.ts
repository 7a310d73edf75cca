/**
 * Signals a process that a record names. Between looking whether it is still that process and signalling its pid, the
 * pid may have become another's: so the process is held by a pidfd first, and looked at then.
 */
import { pidfdOpen, pidfdSignal } from '../../host/kernel/process.ts';
import { SyscallError } from '../../host/libc.ts';
import { isAlive, type ProcessIdentity } from '../../state/process-identity.ts';

const SIGKILL = 9;

/** @returns whether it was there to be signalled. @throws SyscallError EPERM for another user's */
export function signalProcess(identity: ProcessIdentity | undefined, signal: number): boolean {
  // most are long gone, and koffi need not be loaded for them
  if (!isAlive(identity)) return false;
  try {
    using held = pidfdOpen(identity!.pid);
    return isAlive(identity) && pidfdSignal(held.number, signal);
  } catch (error) {
    if (error instanceof SyscallError && error.code === 'ESRCH') return false;
    throw error;
  }
}

/** SIGKILL, where it is of use. */
export function killProcess(identity: ProcessIdentity | undefined): boolean {
  try {
    return signalProcess(identity, SIGKILL);
  } catch {
    // another user's by now: none of ours
    return false;
  }
}
