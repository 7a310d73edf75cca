/** ioctl(2), with a number or with a buffer. */
import { checked } from '../libc.ts';
import { systemCall } from '../system-call.ts';

// The arguments are declared as fixed: on x86-64 a variadic callee differs only in reading %al, and only for floating
// point.
const withNumber = systemCall<(fd: number, request: number, argument: number) => number>(
  'int ioctl(int fd, uint64_t request, int64_t argument)',
);
const withBuffer = systemCall<(fd: number, request: number, argument: Uint8Array) => number>(
  'int ioctl(int fd, uint64_t request, void *argument)',
);

/** include/uapi/asm-generic/ioctl.h: direction in bits 30-31, size in 16-29, type in 8-15, number in 0-7 */
const request = (direction: number, type: number, number: number, size: number) =>
  ((direction << 30) | (size << 16) | (type << 8) | number) >>> 0;
export const _IO = (type: number, number: number) => request(0, type, number, 0);
export const _IOW = (type: number, number: number, size: number) => request(1, type, number, size);
export const _IOR = (type: number, number: number, size: number) => request(2, type, number, size);
export const _IOWR = (type: number, number: number, size: number) => request(3, type, number, size);

/** @param what was asked for, for the error @throws SyscallError */
export function ioctl(fd: number, request: number, argument: number | Uint8Array, what: string): number {
  const result = typeof argument === 'number' ? withNumber(fd, request, argument) : withBuffer(fd, request, argument);
  return checked(result, 'ioctl', `(${what})`);
}
