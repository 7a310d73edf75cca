/** Terminal sizes. ioctl_tty(2) */
import { checked } from '../libc.ts';
import { systemCall } from '../system-call.ts';

/** asm-generic/ioctls.h */
const TIOCGWINSZ = 0x5413;
const TIOCSWINSZ = 0x5414;

const ioctl = systemCall<(fd: number, request: number, argument: Uint16Array) => number>(
  'int ioctl(int fd, unsigned long request, void *argument)',
);

/** characters; also sends SIGWINCH to the foreground group. @throws SyscallError */
export function setWindowSize(fd: number, columns: number, rows: number): void {
  // safe: struct winsize is four u16: rows, columns, and two pixel sizes nobody uses
  checked(ioctl(fd, TIOCSWINSZ, Uint16Array.of(rows, columns, 0, 0)), 'ioctl(TIOCSWINSZ)');
}

export function windowSize(fd: number): { columns: number; rows: number } {
  const size = new Uint16Array(4);
  checked(ioctl(fd, TIOCGWINSZ, size), 'ioctl(TIOCGWINSZ)');
  return { columns: size[1]!, rows: size[0]! };
}
