/** Finds where a sparse file has data, by lseek(2) with SEEK_DATA and SEEK_HOLE. */
import { constants } from 'node:os';
import { checked, SyscallError } from '../libc.ts';
import { systemCall } from '../system-call.ts';

/** linux/fs.h */
const SEEK_DATA = 3;
const SEEK_HOLE = 4;
const { ENXIO } = constants.errno;

const c_lseek = systemCall<(fd: number, offset: number, whence: number) => number>(
  'int64_t lseek(int fd, int64_t offset, int whence)',
);

/** Yields the extents in order, in bytes. @throws SyscallError */
export function* dataExtents(fd: number, size: number): Generator<{ offset: number; length: number }> {
  for (let at = 0; at < size;) {
    const offset = c_lseek(fd, at, SEEK_DATA);
    if (offset < 0) {
      if (offset === -ENXIO) return;
      throw new SyscallError('lseek', -offset);
    }
    const end = checked(c_lseek(fd, offset, SEEK_HOLE), 'lseek');
    yield { offset, length: end - offset };
    at = end;
  }
}
