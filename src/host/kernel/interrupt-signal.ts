/**
 * A signal that only interrupts: its handler does nothing, and without SA_RESTART a blocking system call of the thread
 * that gets the signal returns EINTR. The signal brings a vCPU out of KVM_RUN after `immediate_exit` was set
 * (Documentation/virt/kvm/api.rst § KVM_RUN).
 *
 * The handler is the C library's `abs`: a function that takes an int and touches nothing, because no JavaScript may run
 * in a signal handler.
 */
import { koffi, libraryFunction } from '../libc.ts';

/** a signal that Node, glibc (32, 33) and V8 do not use */
export const INTERRUPT_SIGNAL = 40;
/** glibc's struct sigaction on x86-64: handler, a 128-byte mask, flags, restorer */
const SIGACTION_SIZE = 152;

const sigaction = libraryFunction<(signal: number, action: Uint8Array, old: null) => number>(
  'int sigaction(int signal, const void *action, void *old)',
);

let installed = false;

export function installInterruptHandler(): void {
  if (installed) return;
  const action = new Uint8Array(SIGACTION_SIZE);
  new DataView(action.buffer).setBigUint64(0, symbolAddress('abs'), true);
  if (sigaction(INTERRUPT_SIGNAL, action, null) !== 0)
    throw new Error(`cannot handle signal ${INTERRUPT_SIGNAL}: sigaction(3) refuses it`);
  installed = true;
}

function symbolAddress(name: string): bigint {
  const { load, address } = koffi();
  return BigInt(address(load(null).symbol(name)));
}
