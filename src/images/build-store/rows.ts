/**
 * The rows of the build cache: which layer a step has made, by the key of all that the step reads (keys.ts). A row is
 * written only when its layer lies whole in the store, and it holds that layer against `rmi` and `image prune`. A row
 * whose layer is gone or damaged is a miss, never an error.
 */
import type { DatabaseSync } from 'node:sqlite';
import { transaction } from '../../state/database.ts';
import type { CachePruneOptions, CacheRow } from '../store/contract.ts';
import type { ImageRecords } from '../store/records.ts';

type Row = Record<string, string | number>;

/** limit of bytes of a step's text in a row: a RUN may be a whole script */
const MAX_STEP = 1000;

export class CacheRows {
  readonly #database: DatabaseSync;
  readonly #records: Pick<ImageRecords, 'presentLayer' | 'recordLayer'>;

  constructor(records: Pick<ImageRecords, 'database' | 'presentLayer' | 'recordLayer'>) {
    this.#database = records.database;
    this.#records = records;
  }

  /** @returns the layer of this key and when it was made; undefined for a miss */
  find(key: string, now = Date.now()): { diffId: string; size: number; made: number } | undefined {
    const row = this.#database.prepare('SELECT diff_id, made FROM build_cache WHERE key = ?').get(key) as
      | Row
      | undefined;
    if (!row) return undefined;
    const diffId = row['diff_id'] as string;
    const size = this.#records.presentLayer(diffId);
    if (size === undefined) return undefined;
    this.#database.prepare('UPDATE build_cache SET last_used = ?, uses = uses + 1 WHERE key = ?').run(now, key);
    return { diffId, size, made: row['made'] as number };
  }

  /** Records a layer that lies in the store, and the key it was made for. An older row of that key is replaced. */
  add(row: { key: string; diffId: string; size: number; step: string; made: number; used?: number }): void {
    this.#records.recordLayer(row);
    this.#database
      .prepare(
        'INSERT OR REPLACE INTO build_cache (key, diff_id, size, step, made, last_used, uses) VALUES (?, ?, ?, ?, ?, ?, 0)',
      )
      .run(row.key, row.diffId, row.size, row.step.slice(0, MAX_STEP), row.made, row.used ?? row.made);
  }

  /** @returns every row, the one used last first */
  list(): CacheRow[] {
    return (
      this.#database
        .prepare(
          'SELECT *, EXISTS (SELECT 1 FROM image_layers i WHERE i.diff_id = build_cache.diff_id) AS shared FROM build_cache ORDER BY last_used DESC, key',
        )
        .all() as Row[]
    ).map((row) => ({
      key: row['key'] as string,
      diffId: row['diff_id'] as string,
      size: row['size'] as number,
      step: row['step'] as string,
      made: row['made'] as number,
      lastUsed: row['last_used'] as number,
      uses: row['uses'] as number,
      shared: row['shared'] === 1,
    }));
  }

  /** @returns bytes of the layers that no image has */
  used(): number {
    const row = this.#database
      .prepare(
        'SELECT coalesce(sum(size), 0) AS bytes FROM (SELECT DISTINCT diff_id, size FROM build_cache b WHERE NOT EXISTS (SELECT 1 FROM image_layers i WHERE i.diff_id = b.diff_id))',
      )
      .get() as Row;
    return row['bytes'] as number;
  }

  /**
   * Deletes rows, and leaves their layers to the caller: those used last stay, up to `keep` bytes of layers. A layer
   * that an image has takes nothing.
   * @returns the rows that went
   */
  prune({
    usedBefore = Number.POSITIVE_INFINITY,
    keep,
    filter = () => true,
  }: Pick<CachePruneOptions, 'usedBefore' | 'filter'> & { keep: number }): CacheRow[] {
    return transaction(this.#database, () => {
      const gone: CacheRow[] = [];
      /** a layer of several rows is there once */
      const kept = new Set<string>();
      let size = 0;
      for (const row of this.list()) {
        const more = kept.has(row.diffId) || row.shared ? 0 : row.size;
        const fits = keep > 0 && size + more <= keep;
        if (row.lastUsed >= usedBefore || !filter(row) || fits) {
          size += more;
          kept.add(row.diffId);
        } else {
          gone.push(row);
          this.#database.prepare('DELETE FROM build_cache WHERE key = ?').run(row.key);
        }
      }
      return gone;
    });
  }
}
