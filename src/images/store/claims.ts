/**
 * Which process is fetching which blob, among all husk processes of this data root. A claim is a row with its holder's
 * pid, start time and boot, written in a transaction. The claim of a holder that died does not count.
 */
import type { DatabaseSync } from 'node:sqlite';
import { randomHex } from '../../host/kernel/random.ts';
import { after } from '../../long-timer.ts';
import { transaction } from '../../state/database.ts';
import type { ProcessIdentity } from '../../state/process-identity.ts';
import { identifySelf, isAlive } from '../../state/process-identity.ts';

/** ms between two tries of a waiting process */
const POLL_MS = 100;

export class Claims {
  #database: DatabaseSync;

  constructor(database: DatabaseSync) {
    this.#database = database;
  }

  /** @returns the claim; undefined when a living process has it already */
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
   * @param done called before each try: true when the holder has finished the work
   * @returns undefined when `done` returned true
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

  /** Takes a claim that no other process can want, while layers whose digest is not known yet are being written. */
  hold(purpose: string): Disposable {
    // Claims of killed processes are deleted here, because no other process waits for them and they would stay for
    // ever.
    for (const { digest, holder } of this.#database.prepare('SELECT digest, holder FROM blob_claims').all() as {
      digest: string;
      holder: string;
    }[]) {
      if (!isAlive(JSON.parse(holder) as ProcessIdentity))
        this.#database.prepare('DELETE FROM blob_claims WHERE digest = ? AND holder = ?').run(digest, holder);
    }
    return this.#take(`${purpose}:${randomHex(16)}`)!;
  }

  /** @returns whether any living process holds a claim */
  any(): boolean {
    return (this.#database.prepare('SELECT holder FROM blob_claims').all() as { holder: string }[]).some(({ holder }) =>
      isAlive(JSON.parse(holder) as ProcessIdentity),
    );
  }
}
