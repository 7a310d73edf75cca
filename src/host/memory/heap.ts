/** The C library's heap, from which Node's own buffers come: malloc_trim(3). */
import { libraryFunction } from '../libc.ts';

const mallocTrim = libraryFunction<(pad: number) => number>('int malloc_trim(size_t pad)');

/**
 * Gives free pages back to the host, which glibc keeps where a small allocation lies above them: some 13 MB after a
 * busy container.
 */
export function trimHeap(): void {
  mallocTrim(0);
}
