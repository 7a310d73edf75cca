/**
 * Who is fetching which blob, among all husk processes of this data root: rows that name their holder's pid, start time
 * and boot, taken in a transaction. A holder that died holds nothing.
 */
import type { DatabaseSync } from 'node:sqlite';
import { randomHex } from '../../host/kernel/random.ts';
import { after } from '../../long-timer.ts';
import { transaction } from '../../state/database.ts';
import type { ProcessIdentity } from '../../state/process-identity.ts';
import { identifySelf, isAlive } from '../../state/process-identity.ts';

/** how often a waiting process looks again */
const POLL_MS = 100;

export class Claims {
  #database: DatabaseSync;

  constructor(database: DatabaseSync) {
    this.#database = database;
  }

  /** @returns undefined when a living process has it */
  #take(digest: string): Disposable | undefined {
    const holder = JSON.stringify(identifySelf());
    const taken = transaction(this.#database, () => {
      const row = this.#database.prepare('SELECT holder FROM blob_claims WHERE digest = ?').get(digest) as
        | { holder: string }
        | undefined;
      if (row && isAlive(JSON.parse(row.holder) as ProcessIdentity)) return false;
      this.#database.prepare('INSERT OR REPLACE INTO blob_claims (digest, holder) VALUES (?, ?)').run(digest, holder);
      return true;
    });
    if (!taken) return undefined;
    return {
      [Symbol.dispose]: () =>
        void this.#database.prepare('DELETE FROM blob_claims WHERE digest = ? AND holder = ?').run(digest, holder),
    };
  }

  /**
   * Takes the claim, or waits for its holder.
   * @param done asked before each try: true when the holder has finished the work
   * @returns undefined when `done` said so
   */
  async take(
    digest: string,
    options: { done: () => boolean; onWait?: () => void; signal?: AbortSignal },
  ): Promise<Disposable | undefined> {
    for (;;) {
      if (options.done()) return undefined;
      const claim = this.#take(digest);
      if (claim) {
        if (!options.done()) return claim;
        claim[Symbol.dispose]();
        return undefined;
      }
      options.onWait?.();
      await after(POLL_MS, { signal: options.signal });
    }
  }

  /** A claim nobody else can want: layers of yet unknown digest are being written. */
  hold(purpose: string): Disposable {
    // nobody waits for such a claim: those of killed processes would stay for ever
    for (const { digest, holder } of this.#database.prepare('SELECT digest, holder FROM blob_claims').all() as {
      digest: string;
      holder: string;
    }[]) {
      if (!isAlive(JSON.parse(holder) as ProcessIdentity))
        this.#database.prepare('DELETE FROM blob_claims WHERE digest = ? AND holder = ?').run(digest, holder);
    }
    return this.#take(`${purpose}:${randomHex(16)}`)!;
  }

  /** does any living process hold a claim? */
  any(): boolean {
    return (this.#database.prepare('SELECT holder FROM blob_claims').all() as { holder: string }[]).some(({ holder }) =>
      isAlive(JSON.parse(holder) as ProcessIdentity),
    );
  }
}
