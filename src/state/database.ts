/**
 * The one SQLite database of a data root (node:sqlite, WAL): opened lazily, migrated forward, shared by every husk
 * process. Rooms own their tables; this file owns the schema's version and how it is opened. Never holds records in
 * memory.
 *
 * A crash at any moment leaves the last committed transaction (WAL, synchronous=NORMAL: a power cut may lose the last
 * transactions, never tear one).
 */
import { chmodSync, readdirSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import type { DatabaseSync } from 'node:sqlite';
import { databaseError, HuskError, isFull } from '../errors.ts';
import { makeMissingFolders } from '../missing-folders.ts';
import { span } from '../trace.ts';
import { keepReserve, spendReserve } from './reserve.ts';

/** sqlite.org/rescode.html */
const SQLITE_FULL = 13;

/** Each entry brings the schema from version i to i+1; never edited once released, only added to. */
const MIGRATIONS: string[] = [
  `
  -- an image is its config (id = digest of the config blob); manifest is what was pulled or made for it
  CREATE TABLE images (
    id TEXT PRIMARY KEY,
    manifest_digest TEXT NOT NULL,
    config TEXT NOT NULL,
    created_at INTEGER NOT NULL,          -- when it came here, ms since the epoch
    size INTEGER NOT NULL                 -- sum of uncompressed layers, bytes
  ) STRICT;
  CREATE TABLE image_layers (
    image_id TEXT NOT NULL REFERENCES images(id) ON DELETE CASCADE,
    position INTEGER NOT NULL,            -- 0 is the bottom
    diff_id TEXT NOT NULL,
    digest TEXT,                          -- of the compressed blob as the registry has it
    media_type TEXT,
    compressed_size INTEGER,
    PRIMARY KEY (image_id, position)
  ) STRICT;
  CREATE INDEX image_layers_by_diff ON image_layers(diff_id);
  -- full references, normalised: docker.io/library/alpine:latest; digest references too: …@sha256:…
  CREATE TABLE image_names (
    name TEXT PRIMARY KEY,
    image_id TEXT NOT NULL REFERENCES images(id) ON DELETE CASCADE
  ) STRICT;
  CREATE INDEX image_names_by_image ON image_names(image_id);
  -- layers whose tar is whole and verified under layers/<hex>/
  CREATE TABLE layers (
    diff_id TEXT PRIMARY KEY,
    size INTEGER NOT NULL                 -- bytes of the uncompressed tar
  ) STRICT;
  -- which layer a compressed blob unpacks to: a blob seen once is never fetched again
  CREATE TABLE layer_digests (
    digest TEXT PRIMARY KEY,
    diff_id TEXT NOT NULL
  ) STRICT;

  CREATE TABLE containers (
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    image_id TEXT NOT NULL,
    created_at INTEGER NOT NULL,          -- ms since the epoch
    config TEXT NOT NULL,                 -- JSON ContainerConfig: what was asked for; changed by update and rename only
    state TEXT NOT NULL                   -- JSON ContainerState
  ) STRICT;
  CREATE INDEX containers_by_image ON containers(image_id);

  CREATE TABLE volumes (
    name TEXT PRIMARY KEY,
    created_at INTEGER NOT NULL,
    anonymous INTEGER NOT NULL,
    record TEXT NOT NULL                  -- JSON: driver, labels, options
  ) STRICT;

  CREATE TABLE events (
    sequence INTEGER PRIMARY KEY AUTOINCREMENT,
    time INTEGER NOT NULL,                -- ns since the epoch / 1000: microseconds
    record TEXT NOT NULL
  ) STRICT;
  `,
  `
  -- which process fetches which blob (src/images/store/claims.ts); rows of dead processes mean nothing
  CREATE TABLE blob_claims (
    digest TEXT PRIMARY KEY,
    holder TEXT NOT NULL                  -- JSON ProcessIdentity
  ) STRICT;
  `,
  `
  -- what is asked of many containers at once is looked up, never searched for in the JSON of all
  ALTER TABLE containers ADD COLUMN status TEXT GENERATED ALWAYS AS (CASE WHEN json_valid(state) THEN json_extract(state, '$.status') END) VIRTUAL;
  CREATE INDEX containers_by_status ON containers(status);
  -- which container names which volume; kept by the triggers below
  CREATE TABLE container_volumes (
    volume TEXT NOT NULL,
    container_id TEXT NOT NULL,
    PRIMARY KEY (volume, container_id)
  ) STRICT, WITHOUT ROWID;
  CREATE INDEX container_volumes_by_container ON container_volumes(container_id);
  CREATE TRIGGER containers_inserted AFTER INSERT ON containers BEGIN
    INSERT OR IGNORE INTO container_volumes SELECT json_extract(value, '$.name'), NEW.id FROM json_each(NEW.config, '$.mounts') WHERE json_extract(value, '$.name') IS NOT NULL;
  END;
  CREATE TRIGGER containers_changed AFTER UPDATE OF config ON containers BEGIN
    DELETE FROM container_volumes WHERE container_id = OLD.id;
    INSERT OR IGNORE INTO container_volumes SELECT json_extract(value, '$.name'), NEW.id FROM json_each(NEW.config, '$.mounts') WHERE json_extract(value, '$.name') IS NOT NULL;
  END;
  CREATE TRIGGER containers_deleted AFTER DELETE ON containers BEGIN
    DELETE FROM container_volumes WHERE container_id = OLD.id;
  END;
  INSERT OR IGNORE INTO container_volumes SELECT json_extract(value, '$.name'), containers.id FROM containers, json_each(CASE WHEN json_valid(config) THEN config ELSE '{}' END, '$.mounts') WHERE json_extract(value, '$.name') IS NOT NULL;
  `,
  `
  -- which container has which image mounted (--mount type=image); kept by the triggers below, of an older husk none
  CREATE TABLE container_images (
    image_id TEXT NOT NULL,
    container_id TEXT NOT NULL,
    PRIMARY KEY (image_id, container_id)
  ) STRICT, WITHOUT ROWID;
  CREATE INDEX container_images_by_container ON container_images(container_id);
  CREATE TRIGGER container_images_inserted AFTER INSERT ON containers BEGIN
    INSERT OR IGNORE INTO container_images SELECT json_extract(value, '$.image'), NEW.id
      FROM json_each(NEW.config, '$.mounts') WHERE json_extract(value, '$.image') IS NOT NULL;
  END;
  CREATE TRIGGER container_images_changed AFTER UPDATE OF config ON containers BEGIN
    DELETE FROM container_images WHERE container_id = OLD.id;
    INSERT OR IGNORE INTO container_images SELECT json_extract(value, '$.image'), NEW.id
      FROM json_each(NEW.config, '$.mounts') WHERE json_extract(value, '$.image') IS NOT NULL;
  END;
  CREATE TRIGGER container_images_deleted AFTER DELETE ON containers BEGIN
    DELETE FROM container_images WHERE container_id = OLD.id;
  END;
  `,
];

/** How long a husk process waits for another's write transaction before it gives up. */
const BUSY_TIMEOUT_MS = 10_000;

/**
 * Opens (and creates or migrates) the database.
 * @throws HuskError `unsupported` when a newer husk has written it, `corrupt` when SQLite cannot read it, or when it is
 * gone and its data is not
 */
export function openDatabase(file: string): DatabaseSync {
  using _opening = span('open the database');
  makeMissingFolders(dirname(file), 0o700);
  const { DatabaseSync } = sqlite();
  if (isFull(file)) spendReserve(file);
  let database: DatabaseSync | undefined;
  try {
    database = new DatabaseSync(file, { timeout: BUSY_TIMEOUT_MS });
    // before anything that writes: what a newer husk has made stays as it is
    refuseNewer(version(database), file);
    database.exec('PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; PRAGMA foreign_keys = ON');
    migrate(database, file);
    keepReserve(file);
    return database;
  } catch (error) {
    // a program that uses the library goes on, and would hold the file and its locks
    if (database?.isOpen) database.close();
    if (error instanceof HuskError) throw error;
    const known = databaseError(error, file);
    if (known) throw known;
    const message = error instanceof Error ? error.message : String(error);
    throw new HuskError(`cannot open the database ${file}: ${message}`, { kind: 'corrupt', cause: error });
  }
}

/** node:sqlite, without the warning at load that it is experimental */
export function sqlite(): typeof import('node:sqlite') {
  const emitWarning = process.emitWarning;
  process.emitWarning = () => {};
  try {
    return createRequire(import.meta.url)('node:sqlite') as typeof import('node:sqlite');
  } finally {
    process.emitWarning = emitWarning;
  }
}

/** A new schema in `database`, whose file nobody else knows yet. */
export function createSchema(database: DatabaseSync): void {
  for (const step of MIGRATIONS) database.exec(step);
  database.exec(`PRAGMA user_version = ${MIGRATIONS.length}`);
}

/** What lies beside a database only once it has records: a database without any beside them has been lost. */
const DATA = ['containers', 'layers', 'volumes'];

export function hasData(dataRoot: string): boolean {
  return DATA.some((name) => {
    try {
      return readdirSync(join(dataRoot, name)).length > 0;
    } catch {
      return false;
    }
  });
}

function migrate(database: DatabaseSync, file: string): void {
  if (version(database) === MIGRATIONS.length) return;
  transaction(database, () => {
    const from = version(database);
    refuseNewer(from, file);
    if (from === 0 && hasData(dirname(file)))
      throw new HuskError(
        `the database ${file} is missing or empty, and there are containers, images or volumes beside it`,
        { kind: 'corrupt', fix: 'husk system check --repair' },
      );
    for (const step of MIGRATIONS.slice(from)) database.exec(step);
    database.exec(`PRAGMA user_version = ${MIGRATIONS.length}`);
    chmodSync(file, 0o600);
  });
}

function refuseNewer(found: number, file: string): void {
  if (found <= MIGRATIONS.length) return;
  throw new HuskError(`the database ${file} has version ${found}, this husk knows ${MIGRATIONS.length}`, {
    kind: 'unsupported',
    fix: 'use the newer husk that wrote it, or another data root (HUSK_DATA_ROOT)',
  });
}

function version(database: DatabaseSync): number {
  return (database.prepare('PRAGMA user_version').get() as { user_version: number }).user_version;
}

/**
 * Runs `body` in one IMMEDIATE transaction: it sees no other writer, and either all of it happens or nothing. On a full
 * disk it is run again after room has been made: often enough for a removal, which makes more. So what it does besides
 * must bear being done again.
 */
export function transaction<T>(database: DatabaseSync, body: () => T): T {
  for (const makeRoom of [emptyLog, spend]) {
    try {
      return attempt(database, body);
    } catch (error) {
      if ((error as { errcode?: number }).errcode !== SQLITE_FULL || !makeRoom(database)) throw error;
    }
  }
  return attempt(database, body);
}

/** What the log took is the database's again. */
function emptyLog(database: DatabaseSync): boolean {
  database.exec('PRAGMA wal_checkpoint(TRUNCATE)');
  return true;
}

function spend(database: DatabaseSync): boolean {
  const file = database.location();
  return file !== null && spendReserve(file);
}

function attempt<T>(database: DatabaseSync, body: () => T): T {
  using _writing = span('write to the database');
  database.exec('BEGIN IMMEDIATE');
  try {
    const result = body();
    database.exec('COMMIT');
    return result;
  } catch (error) {
    // SQLite has done so itself where the disk is full; failing here would hide why
    if (database.isTransaction) database.exec('ROLLBACK');
    throw error;
  }
}
