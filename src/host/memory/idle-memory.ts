/**
 * Keeps an idle process small that stays for long, a supervisor or a server: some time after its work is over, the text
 * pages and the free heap that it took are given back to the kernel. Knows no container.
 */
import { startTimer } from '../../long-timer.ts';

export class IdleMemory {
  readonly #delays: readonly number[];
  #cancel = () => {};

  /**
   * @param delays ms until memory is given back, and ms after that until it is once more, when V8 has collected what
   * the work left, and touched pages of its own again
   */
  constructor(delays: readonly number[]) {
    this.#delays = delays;
  }

  /** Something is over: the wait begins anew. */
  settled(): void {
    this.#schedule(this.#delays);
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
  const [{ releaseFilePages }, { trimHeap }] = await Promise.all([import('./file-pages.ts'), import('./heap.ts')]);
  trimHeap();
  releaseFilePages();
}
