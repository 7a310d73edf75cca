/**
 * Copies a file that has holes, as it is: where the file system can share blocks (btrfs, XFS) nothing is copied before
 * it is changed, elsewhere only what is no hole. copy_file_range(2), not ioctl(FICLONE): a monitor of a machine may
 * make no other ioctl than it needs.
 */
import { closeSync, fstatSync, ftruncateSync, openSync, readSync, writeSync } from 'node:fs';
import { constants } from 'node:os';
import { checked } from '../libc.ts';
import { systemCall } from '../system-call.ts';
import { dataExtents } from './holes.ts';

const { EINVAL, ENOSYS, EOPNOTSUPP, EXDEV } = constants.errno;
/** file systems and kernels that do not do it */
const REFUSALS = new Set([EINVAL, ENOSYS, EOPNOTSUPP, EXDEV]);
/** bytes that are copied at once where the kernel does not */
const PIECE = 1 << 20;
/** linux/fs.h */
const SEEK_SET = 0;

const c_copyFileRange = systemCall<
  (from: number, fromOffset: null, to: number, toOffset: null, length: number, flags: number) => number
>('int64_t copy_file_range(int from, void *fromOffset, int to, void *toOffset, size_t length, unsigned int flags)');
const c_lseek = systemCall<(fd: number, offset: number, whence: number) => number>(
  'int64_t lseek(int fd, int64_t offset, int whence)',
);

/** @param to must not exist @throws SyscallError, or as node:fs does */
export function copySparse(from: string, to: string): void {
  const source = openSync(from, 'r');
  // looking for holes moves the place in the file
  const looked = openSync(from, 'r');
  const target = openSync(to, 'wx', 0o600);
  try {
    const { size } = fstatSync(source);
    ftruncateSync(target, size);
    for (const { offset, length } of dataExtents(looked, size)) copyExtent(source, target, { offset, length });
  } finally {
    for (const fd of [source, looked, target]) closeSync(fd);
  }
}

function copyExtent(source: number, target: number, extent: { offset: number; length: number }): void {
  const end = extent.offset + extent.length;
  for (const fd of [source, target]) checked(c_lseek(fd, extent.offset, SEEK_SET), 'lseek');
  for (let at = extent.offset; at < end;) {
    const copied = c_copyFileRange(source, null, target, null, end - at, 0);
    if (copied < 0 && REFUSALS.has(-copied)) return copyBytes(source, target, { offset: at, length: end - at });
    if (checked(copied, 'copy_file_range') === 0) return; // it has become shorter
    at += copied;
  }
}

function copyBytes(source: number, target: number, { offset, length }: { offset: number; length: number }): void {
  const piece = Buffer.allocUnsafe(Math.min(length, PIECE));
  for (let done = 0; done < length;) {
    const read = readSync(source, piece, 0, Math.min(piece.length, length - done), offset + done);
    if (read === 0) return;
    for (let written = 0; written < read;)
      written += writeSync(target, piece, written, read - written, offset + done + written);
    done += read;
  }
}
