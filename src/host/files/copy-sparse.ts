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

/** bytes that are copied before others have their turn */
const TURN_BYTES = 8 << 20;

interface Extent {
  offset: number;
  length: number;
}

/** @param to must not exist @throws SyscallError, or as node:fs does */
export function copySparse(from: string, to: string): void {
  using files = openBoth(from, to);
  for (const extent of files.extents()) copyExtent(files, extent);
}

/** The same of a file that may be written meanwhile, in turns of the event loop: what of that is copied is open. */
export async function copySparseInTurns(from: string, to: string): Promise<void> {
  using files = openBoth(from, to);
  for (const { offset, length } of files.extents())
    for (let at = 0; at < length; at += TURN_BYTES) {
      copyExtent(files, { offset: offset + at, length: Math.min(TURN_BYTES, length - at) });
      await new Promise((turn) => setImmediate(turn));
    }
}

/** Copies parts of a file once more, holes as well. */
export function copyExtents(from: string, to: string, extents: Iterable<Extent>): void {
  using files = openBoth(from, to, { isNew: false });
  for (const extent of extents) copyExtent(files, extent);
}

interface BothFiles extends Disposable {
  source: number;
  target: number;
  /** the parts of the source that are no holes */
  extents(): Iterable<Extent>;
}

function openBoth(from: string, to: string, { isNew = true } = {}): BothFiles {
  using opened = new DisposableStack();
  const open = (path: string, flags: string): number =>
    opened.adopt(openSync(path, flags, 0o600), (fd) => closeSync(fd));
  const source = open(from, 'r');
  // looking for holes moves the place in the file
  const looked = open(from, 'r');
  const target = open(to, isNew ? 'wx' : 'r+');
  const { size } = fstatSync(source);
  if (isNew) ftruncateSync(target, size);
  const files = opened.move();
  return { source, target, extents: () => dataExtents(looked, size), [Symbol.dispose]: () => files.dispose() };
}

function copyExtent({ source, target }: BothFiles, extent: Extent): void {
  const end = extent.offset + extent.length;
  for (const fd of [source, target]) checked(c_lseek(fd, extent.offset, SEEK_SET), 'lseek');
  for (let at = extent.offset; at < end;) {
    const copied = c_copyFileRange(source, null, target, null, end - at, 0);
    if (copied < 0 && REFUSALS.has(-copied)) return copyBytes(source, target, { offset: at, length: end - at });
    if (checked(copied, 'copy_file_range') === 0) return; // it has become shorter
    at += copied;
  }
}

function copyBytes(source: number, target: number, { offset, length }: Extent): void {
  const piece = Buffer.allocUnsafe(Math.min(length, PIECE));
  for (let done = 0; done < length;) {
    const read = readSync(source, piece, 0, Math.min(piece.length, length - done), offset + done);
    if (read === 0) return;
    for (let written = 0; written < read;)
      written += writeSync(target, piece, written, read - written, offset + done + written);
    done += read;
  }
}
