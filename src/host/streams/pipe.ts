/** Pipes: real ones. Node's own 'pipe' stdio is a socketpair, which a container cannot reopen as /dev/stdout. */
import { Fd } from '../fd.ts';
import { checked } from '../libc.ts';
import { systemCall } from '../system-call.ts';

/** fcntl.h */
const O_NONBLOCK = 0o4000;
const O_CLOEXEC = 0o2000000;

const pipe2 = systemCall<(fds: Int32Array, flags: number) => number>('int pipe2(int *fds, int flags)');

/** pipe2(2); both ends are close-on-exec. @throws SyscallError */
export function pipe(options: { nonblock?: boolean } = {}): { read: Fd; write: Fd } {
  const fds = new Int32Array(2); // safe: the kernel writes exactly two ints
  checked(pipe2(fds, O_CLOEXEC | (options.nonblock ? O_NONBLOCK : 0)), 'pipe2');
  return { read: new Fd(fds[0]!), write: new Fd(fds[1]!) };
}
