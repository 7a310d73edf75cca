/**
 * What can still be read of a damaged database: rows from both ends of each table, up to the damage. Works on a copy;
 * the database itself is never written.
 */
import { copyFileSync, existsSync, mkdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import type { DatabaseSync, SQLOutputValue } from 'node:sqlite';
import { tmpPath } from '../../state/tmp-folder.ts';
import { isState } from '../../state/containers.ts';
import { sqlite } from '../../state/database.ts';
import { parsePlatform } from '../../images/store/platform.ts';
import { isDigest } from '../../images/store/reference.ts';
import { isNetworkRecord } from '../../network/records/records.ts';
import { isConfig } from '../record/record-copies.ts';

type Row = Record<string, SQLOutputValue>;

/** tables in the order in which they refer to each other, with what a row must be to be believed */
const TABLES: {
  name: string;
  columns: string[];
  believable?: (row: Row) => boolean;
  replaces?: boolean;
  order?: string;
}[] = [
  {
    name: 'images',
    columns: ['id', 'manifest_digest', 'config', 'created_at', 'size'],
    believable: (row) => isJson(row['config']),
  },
  { name: 'layers', columns: ['diff_id', 'size'] },
  { name: 'image_layers', columns: ['image_id', 'position', 'diff_id', 'digest', 'media_type', 'compressed_size'] },
  { name: 'image_names', columns: ['name', 'image_id'] },
  // a table without rowids
  {
    name: 'image_indexes',
    columns: ['name', 'position', 'image_id', 'platform'],
    order: 'name',
    believable: (row) => isDigest(row['image_id']) && isPlatform(row['platform']),
  },
  {
    name: 'containers',
    columns: ['id', 'name', 'image_id', 'created_at', 'config', 'state'],
    believable: (row) => isConfig(json(row['config'])) && isState(json(row['state'])),
  },
  {
    name: 'volumes',
    columns: ['name', 'created_at', 'anonymous', 'record'],
    believable: (row) => isJson(row['record']),
  },
  {
    name: 'networks',
    columns: ['id', 'name', 'created_at', 'record'],
    believable: (row) => isNetworkRecord(json(row['record'])),
    // a new database has bridge, host and none already, with ids that nobody knows
    replaces: true,
  },
  {
    name: 'endpoints',
    columns: ['network_id', 'container_id', 'network', 'wanted'],
    believable: (row) => isJson(row['wanted']),
  },
  {
    name: 'build_cache',
    columns: ['key', 'diff_id', 'size', 'step', 'made', 'last_used', 'uses'],
    // A layer that is not there is a miss; a key of another shape would be of nobody's step.
    // a table without rowids
    order: 'key',
    believable: (row) => /^[0-9a-f]{64}$/.test(String(row['key'])) && isDigest(row['diff_id']),
  },
  { name: 'events', columns: ['sequence', 'time', 'record'], believable: (row) => isJson(row['record']) },
];

/** The files of a database in WAL mode. */
export const FILES = ['', '-wal', '-shm'];

/**
 * Copies what can be read of the database `from` into `to`, which has the schema and no rows.
 * @param tmp a folder on a disk with room for a copy
 * @returns rows a table
 */
export function salvage(from: string, to: DatabaseSync, tmp: string): Record<string, number> {
  const folder = tmpPath({ tmp }, 'half-salvage');
  mkdirSync(folder, { mode: 0o700 });
  try {
    for (const suffix of FILES)
      if (existsSync(from + suffix)) copyFileSync(from + suffix, join(folder, `copy${suffix}`));
    return readAll(join(folder, 'copy'), to);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

function readAll(file: string, to: DatabaseSync): Record<string, number> {
  const found: Record<string, number> = {};
  let source: DatabaseSync;
  try {
    source = new (sqlite().DatabaseSync)(file, { enableForeignKeyConstraints: false });
  } catch {
    return found;
  }
  try {
    for (const { name, columns, believable = () => true, replaces = false, order = 'rowid' } of TABLES) {
      const insert = to.prepare(
        `INSERT OR ${replaces ? 'REPLACE' : 'IGNORE'} INTO ${name} (${columns.join(', ')}) VALUES (${columns.map(() => '?').join(', ')})`,
      );
      found[name] = 0;
      for (const direction of ['ASC', 'DESC']) {
        for (const row of rows(source, `SELECT ${columns.join(', ')} FROM ${name} ORDER BY ${order} ${direction}`)) {
          if (!believable(row)) continue;
          try {
            found[name] += Number(insert.run(...columns.map((column) => row[column]!)).changes);
          } catch {
            // it refers to a row that could not be read
          }
        }
      }
    }
  } finally {
    source.close();
  }
  return found;
}

/** up to the first that cannot be read */
function* rows(database: DatabaseSync, sql: string): Generator<Row> {
  try {
    yield* database.prepare(sql).iterate() as Iterable<Row>;
  } catch {
    // what lies behind the damage is read from the other end
  }
}

function json(text: SQLOutputValue | undefined): unknown {
  try {
    return JSON.parse(String(text));
  } catch {
    return undefined;
  }
}

function isPlatform(text: SQLOutputValue | undefined): boolean {
  try {
    return parsePlatform(String(text)) !== undefined;
  } catch {
    return false;
  }
}

function isJson(text: SQLOutputValue | undefined): boolean {
  return json(text) !== undefined;
}
