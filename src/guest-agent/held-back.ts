/**
 * A container's own disk made smaller than it is (`--storage-opt size`): a file beside its layer, out of its reach,
 * takes the blocks beyond. They are allocated and never written, so the host's sparse file stays small. Growing only:
 * blocks that the container has are not taken away.
 */
import { statfsSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { OpenFile } from '../open-file.ts';
import { fallocate } from '../host/files/vectored-io.ts';

const NAME = 'beyond-its-size';
/** unit of st_blocks, stat(2) */
const BLOCK = 512;

/** bytes of a disk that the file takes; 0 where there is none */
export function heldBack(disk: string): number {
  return (statSync(join(disk, NAME), { throwIfNoEntry: false })?.blocks ?? 0) * BLOCK;
}

/** @returns bytes to allocate from the file's start; undefined: it has them already. */
export function toHoldBack({
  total,
  free,
  held,
  size,
}: {
  total: number;
  free: number;
  held: number;
  size: number;
}): number | undefined {
  const wanted = Math.min(total - size, held + free);
  return wanted > held ? wanted : undefined;
}

/** @throws SyscallError */
export function holdBack(disk: string, size: number): void {
  const { blocks, bavail, bsize } = statfsSync(disk);
  const length = toHoldBack({ total: blocks * bsize, free: bavail * bsize, held: heldBack(disk), size });
  if (length === undefined) return;
  using file = new OpenFile(join(disk, NAME), 'a', 0o600);
  fallocate(file.fd, 0, 0, length);
}
