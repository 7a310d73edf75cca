/**
 * Takes rights away from this process for good: new privileges, inspection by other processes of its user, and system
 * calls. None of this can be undone. seccomp(2), prctl(2)
 */
import { constants } from 'node:os';
import { checked, SyscallError } from '../libc.ts';
import { systemCall } from '../system-call.ts';
import { Mapping } from '../memory/mapping.ts';

const c_prctl = systemCall<(option: number, a: number, b: number, c: number, d: number) => number>(
  'int prctl(int option, long a, long b, long c, long d)',
);
const c_seccomp = systemCall<(operation: number, flags: number, program: number) => number>(
  'int seccomp(unsigned int operation, unsigned int flags, int64_t program)',
);

/** linux/seccomp.h, linux/prctl.h */
const SECCOMP_SET_MODE_FILTER = 1;
const SECCOMP_FILTER_FLAG_TSYNC = 1;
const PR_SET_DUMPABLE = 4;
const PR_SET_NO_NEW_PRIVS = 38;
/** bytes of struct sock_filter and of struct sock_fprog on x86-64, and BPF_MAXINSNS of linux/bpf_common.h */
const INSTRUCTION_SIZE = 8;
const PROGRAM_SIZE = 16;
const MAX_INSTRUCTIONS = 4096;
const { ESRCH } = constants.errno;

/** @throws SyscallError */
export function setNoNewPrivileges(): void {
  checked(c_prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 'prctl(PR_SET_NO_NEW_PRIVS)');
}

/** Forbids a core dump, and ptrace(2) and /proc/PID/mem for processes of the same user. @throws SyscallError */
export function setUndumpable(): void {
  checked(c_prctl(PR_SET_DUMPABLE, 0, 0, 0, 0), 'prctl(PR_SET_DUMPABLE)');
}

/**
 * Puts a filter on every thread of this process, those of libuv and V8 included, and on every thread that they will
 * make.
 * @param filter array of struct sock_filter
 * @throws SyscallError
 */
export function filterAllThreads(filter: Uint8Array, flags = 0): void {
  const count = filter.length / INSTRUCTION_SIZE;
  if (!Number.isInteger(count) || count < 1 || count > MAX_INSTRUCTIONS)
    throw new RangeError(`a seccomp filter of ${filter.length} bytes`);
  using memory = Mapping.anonymous(PROGRAM_SIZE + filter.length);
  const program = new DataView(memory.buffer);
  program.setUint16(0, count, true);
  // Safety: both structures lie in the mapping, which outlives the call; the kernel copies them and reads `count`
  // instructions, checked above.
  program.setBigUint64(8, BigInt(memory.address + PROGRAM_SIZE), true);
  new Uint8Array(memory.buffer).set(filter, PROGRAM_SIZE);
  const result = checked(
    c_seccomp(SECCOMP_SET_MODE_FILTER, flags | SECCOMP_FILTER_FLAG_TSYNC, memory.address),
    'seccomp',
  );
  // The result is the thread that has a filter of its own and so cannot take this one.
  if (result > 0) throw new SyscallError(`seccomp(thread ${result})`, ESRCH);
}
