/** Bytes through a non-blocking stream descriptor of either direction, for those who do their own buffering. */
import { constants } from 'node:os';
import { systemCall } from '../system-call.ts';

const read = systemCall<(fd: number, bytes: Uint8Array, length: number) => number>(
  'int64_t read(int fd, void *bytes, size_t length)',
);
const write = systemCall<(fd: number, bytes: Uint8Array, length: number) => number>(
  'int64_t write(int fd, const void *bytes, size_t length)',
);

const { EAGAIN, EINTR } = constants.errno;

/** @param into not empty @returns bytes read; 0 when the other end is gone; undefined when there are none now */
export function readSome(fd: number, into: Uint8Array): number | undefined {
  return result(read(fd, into, into.length)); // safe: the kernel writes into.length bytes at most
}

/** @param bytes not empty @returns bytes taken; 0 when the other end is gone; undefined when none can be taken now */
export function writeSome(fd: number, bytes: Uint8Array): number | undefined {
  return result(write(fd, bytes, bytes.length)); // safe: the kernel reads bytes.length bytes
}

function result(count: number): number | undefined {
  if (count >= 0) return count;
  return count === -EAGAIN || count === -EINTR ? undefined : 0;
}
