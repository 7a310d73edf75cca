/** The C library's heap, which Node's own buffers come from: malloc_trim(3). */
import { libraryFunction } from '../libc.ts';

const mallocTrim = libraryFunction<(pad: number) => number>('int malloc_trim(size_t pad)');

/**
 * Gives free pages back to the host, which glibc keeps where something small lies above them: some 13 MB after a busy
 * container.
 */
export function trimHeap(): void {
  mallocTrim(0);
}
