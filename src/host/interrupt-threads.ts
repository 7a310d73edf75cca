/**
 * Interrupts a blocking system call on another thread of this process: a signal with a handler that does nothing and without SA_RESTART, so that the
 * call returns EINTR. Used to bring a vCPU out of KVM_RUN after `immediate_exit` was set (Documentation/virt/kvm/api.rst § KVM_RUN).
 *
 * The handler is the C library's `abs`: a function that takes an int and touches nothing, because no JavaScript may run in a signal handler.
 */
import { readdirSync } from 'node:fs';
import { checked, foreign, koffi } from './libc.ts';

/** Not used by Node, glibc (32, 33) or V8. */
const SIGNAL = 40;
/** glibc's struct sigaction on x86-64: handler, a 128-byte mask, flags, restorer */
const SIGACTION_SIZE = 152;

const sigaction = foreign<(signal: number, action: Uint8Array, old: null) => number>('int sigaction(int signal, const void *action, void *old)');
const tgkill = foreign<(process: number, thread: number, signal: number) => number>('int tgkill(int process, int thread, int signal)');

let installed = false;

export function installInterruptHandler(): void {
  if (installed) return;
  const action = new Uint8Array(SIGACTION_SIZE);
  new DataView(action.buffer).setBigUint64(0, symbolAddress('abs'), true);
  checked(sigaction(SIGNAL, action, null), 'sigaction');
  installed = true;
}

/** Interrupts every thread but the main one: pool threads change hands, so that nobody knows which one is inside a call. */
export function interruptOtherThreads(): void {
  const self = process.pid;
  for (const name of readdirSync('/proc/self/task')) {
    const thread = Number(name);
    // A thread that has just ended is no loss.
    if (thread !== self) tgkill(self, thread, SIGNAL);
  }
}

function symbolAddress(name: string): bigint {
  const { load, address } = koffi();
  return BigInt(address(load(null).symbol(name)));
}
