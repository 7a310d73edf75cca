/**
 * Exchanges two names in a folder as fast as it can, until it is killed: the other side of a race with path resolution.
 */
import { libraryFunction } from '../../src/host/libc.ts';

/** asm/unistd_64.h, linux/fs.h, fcntl.h */
const SYS_RENAMEAT2 = 316;
const RENAME_EXCHANGE = 2;
const AT_FDCWD = -100;

const renameat2 = libraryFunction<
  (number: number, from: number, a: string, to: number, b: string, flags: number) => number
>('long syscall(long number, long from, const char *a, long to, const char *b, long flags)');
const [a, b] = process.argv.slice(2) as [string, string];
if (renameat2(SYS_RENAMEAT2, AT_FDCWD, a, AT_FDCWD, b, RENAME_EXCHANGE) !== 0) throw new Error('cannot exchange');
console.log('swapping');
for (;;) renameat2(SYS_RENAMEAT2, AT_FDCWD, a, AT_FDCWD, b, RENAME_EXCHANGE);
