/** Bytes as the compressors of Debian make them, for archives that a build unpacks. */
import { execFileSync } from 'node:child_process';

const by =
  (program: string) =>
  (bytes: Buffer): Buffer =>
    execFileSync(program, ['-c'], { input: bytes, maxBuffer: 1 << 28 });

export const gzip = by('gzip');
export const bzip2 = by('bzip2');
export const xz = by('xz');
export const zstd = by('zstd');
