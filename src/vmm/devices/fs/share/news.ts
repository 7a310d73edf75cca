/**
 * News is what the host has changed and programs of the guest may be watching for. It is gathered by name, so that a
 * file that is written a thousand times is one entry, and told in batches. Whether anybody watches is for the guest to
 * say, batch by batch: one whose programs do not watch is asked once a second at most, and never while nothing changes.
 *
 * Lifetimes (lifetimes.ts) do not depend on it: what a guest sees when it looks is true whether it was told or not.
 */
import type { FileChange } from '../../../../agent-protocol.ts';
import { elapsed, startTimer } from '../../../../long-timer.ts';

/** what has happened to a name, or to an inode */
export const HAPPENED = { CREATED: 1, GONE: 2, MODIFIED: 4, ATTRIBUTES: 8 } as const;

/**
 * A host that changes 100,000 files at once (`git checkout`): names beyond the first so many are told as a change to
 * their folder.
 */
const MOST_NAMES = 4096;
/** inodes are as many as the guest remembers; beyond so many entries of both kinds nothing is told */
const MOST_ENTRIES = 2 * MOST_NAMES;
/** the agent of the guest carries out a batch in one go, some 0.1 ms a change */
const BATCH = 128;
/** ms that a change waits for others like it */
const GATHER = 10;
/** ms from one batch to the next, where somebody watches, and where nobody does */
const WATCHED_PAUSE = 40;
const UNWATCHED_PAUSE = 1000;
/** a guest that is slow to answer is asked more rarely: a tenth of its time at most goes into this */
const SHARE = 10;
/** ms */
const LONGEST_PAUSE = 30_000;

export interface Happening {
  /** with a name that of the folder */
  node: number;
  /** empty: the node itself */
  name: string;
  /** HAPPENED bits */
  happened: number;
  /** the first of them */
  first: number;
  /** whether what is gone was a folder */
  isFolder: boolean;
}

/**
 * Tells the guest what `take` returns, which is to be called when it can be told now.
 * @returns whether anybody in the guest watches
 */
export type TellNews = (take: () => FileChange[]) => Promise<boolean>;

export class News implements Disposable {
  readonly #happenings = new Map<string, Happening>();
  readonly #tell: TellNews;
  readonly #describe: (happenings: Happening[]) => FileChange[];
  readonly #told: () => void;
  #cancel: (() => void) | undefined;
  #isTelling = false;
  #isOver = false;
  /** whether anybody did when the guest was last told something */
  #isWatched = false;
  /** when the next batch may be told, of elapsed() */
  #next = 0;

  /**
   * @param describe says what is to be told of what has happened, as the host is now
   * @param told called when the guest has been told
   */
  constructor(tell: TellNews, describe: (happenings: Happening[]) => FileChange[], told: () => void) {
    this.#tell = tell;
    this.#describe = describe;
    this.#told = told;
  }

  /** @param isFolder whether what is gone was a folder */
  hear(node: number, name: string, happened: number, isFolder = false): void {
    if (this.#isOver) return;
    const key = `${node}/${name}`;
    const known = this.#happenings.get(key);
    if (known !== undefined) {
      known.happened |= happened;
      if (happened === HAPPENED.GONE) known.isFolder = isFolder;
      return;
    }
    if (name !== '' && this.#happenings.size >= MOST_NAMES) return this.hear(node, '', HAPPENED.ATTRIBUTES);
    if (this.#happenings.size >= MOST_ENTRIES) return;
    this.#happenings.set(key, { node, name, happened, first: happened, isFolder });
    this.#schedule();
  }

  #schedule(): void {
    if (this.#cancel !== undefined || this.#isTelling || this.#isOver || this.#happenings.size === 0) return;
    const wait = Math.max(GATHER, this.#next - elapsed());
    this.#cancel = startTimer(wait, () => void this.#tellBatch(), { unref: true });
  }

  async #tellBatch(): Promise<void> {
    this.#cancel = undefined;
    this.#isTelling = true;
    let start = elapsed();
    let isTold = false;
    try {
      const isWatched = await this.#tell(() => {
        start = elapsed();
        const changes = this.#take();
        isTold = changes.length > 0;
        return changes;
      });
      if (isTold) this.#isWatched = isWatched;
    } catch {
      // The guest's agent does not serve yet, or no longer: nobody is there who could watch.
      this.#isWatched = false;
    }
    this.#isTelling = false;
    if (this.#isOver) return;
    const now = elapsed();
    const pause = Math.max(this.#isWatched ? WATCHED_PAUSE : UNWATCHED_PAUSE, (now - start) * SHARE);
    // A batch of which nothing was left to tell has cost the guest nothing.
    this.#next = isTold ? now + Math.min(pause, LONGEST_PAUSE) : now;
    this.#told();
    this.#schedule();
  }

  #take(): FileChange[] {
    if (this.#isOver) return [];
    const batch = [...this.#happenings].slice(0, BATCH);
    for (const [key] of batch) this.#happenings.delete(key);
    return this.#describe(batch.map(([, happening]) => happening));
  }

  /** number of names and inodes of which there is something to tell */
  get size(): number {
    return this.#happenings.size;
  }

  [Symbol.dispose](): void {
    this.#isOver = true;
    this.#cancel?.();
    this.#cancel = undefined;
    this.#happenings.clear();
  }
}
