/**
 * Keeps an idle supervisor small: some time after a start or an exec is over, the text pages and the free heap it took
 * are given back to the kernel. Knows no container.
 */
import { startTimer } from '../../long-timer.ts';

/**
 * ms after a start, when most containers that end at once have ended; and ms after that, when V8 has collected what the
 * start left, and touched pages of its own again
 */
const SHRINK_AFTER_MS = [2000, 13_000];

export class IdleMemory {
  #cancel = () => {};

  /** Something is over: the wait begins anew. */
  settled(): void {
    this.#schedule(SHRINK_AFTER_MS);
  }

  #schedule([delay, ...later]: readonly number[]): void {
    this.#cancel();
    if (delay === undefined) return;
    this.#cancel = startTimer(
      delay,
      () => {
        void shrink().catch(() => {});
        this.#schedule(later);
      },
      { unref: true },
    );
  }
}

async function shrink(): Promise<void> {
  const [{ releaseFilePages }, { trimHeap }] = await Promise.all([
    import('../../host/memory/file-pages.ts'),
    import('../../host/memory/heap.ts'),
  ]);
  trimHeap();
  releaseFilePages();
}
