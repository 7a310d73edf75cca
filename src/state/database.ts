/**
 * The one SQLite database of a data root (node:sqlite, WAL): opened lazily, migrated forward, shared by every husk
 * process. Rooms own their tables; this file owns the schema's version and the way the database is opened. It never
 * keeps records in memory.
 *
 * A crash at any moment leaves the last committed transaction (WAL, synchronous=NORMAL: a power cut may lose the last
 * transactions, never tear one).
 */
import { chmodSync, readdirSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import type { DatabaseSync, StatementSync } from 'node:sqlite';
import { databaseError, HuskError, isFull } from '../errors.ts';
import { elapsed, pauseThread } from '../long-timer.ts';
import { makeMissingFolders } from '../missing-folders.ts';
import { span } from '../trace.ts';
import { keepReserve, spendReserve } from './reserve.ts';

/** result code, sqlite.org/rescode.html */
const SQLITE_FULL = 13;
/** the primary one: the low byte of an extended code */
const SQLITE_BUSY = 5;

/**
 * Each entry brings the schema from version i to i+1. A released entry is never edited; new ones are added at the end.
 */
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
  `
  -- nothing reads it: a pull knows by the diffIDs of an image's config which layers are here
  DROP TABLE layer_digests;
  -- networks; those of every data root are there from the start, bridge has no subnet before it is first used
  CREATE TABLE networks (
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    created_at INTEGER NOT NULL,          -- ms since the epoch
    record TEXT NOT NULL                  -- JSON NetworkRecord (src/network/records/contract.ts)
  ) STRICT;
  INSERT INTO networks (id, name, created_at, record)
    SELECT lower(hex(randomblob(32))), value ->> 'name', unixepoch() * 1000,
      json_object('driver', value ->> 'driver', 'options', json('{}'), 'labels', json('{}'), 'internal', json('false'),
        'attachable', json('false'), 'ipv4', json('true'), 'ipv6', json('false'), 'ipam', json('[]'))
      FROM json_each('[{"name":"bridge","driver":"bridge"},{"name":"host","driver":"host"},{"name":"none","driver":"null"}]');
  -- which container is to be on which network, and as what; lives as long as the container, also without the network
  CREATE TABLE endpoints (
    network_id TEXT NOT NULL,
    container_id TEXT NOT NULL,
    network TEXT NOT NULL,                -- its name
    wanted TEXT NOT NULL,                 -- JSON EndpointRequest (src/network/records/contract.ts)
    PRIMARY KEY (network_id, container_id)
  ) STRICT;
  CREATE INDEX endpoints_by_container ON endpoints(container_id);
  INSERT INTO endpoints SELECT networks.id, containers.id, networks.name, '{}' FROM containers JOIN networks
    ON networks.name = replace(coalesce(nullif(json_extract(
      CASE WHEN json_valid(config) THEN config ELSE '{}' END, '$.options.network'), ''), 'default'), 'default', 'bridge');
  -- addresses of what runs: void when the claim's process is dead
  CREATE TABLE leases (
    network_id TEXT NOT NULL,
    address TEXT NOT NULL,                -- canonical; an endpoint with both families has two rows
    container_id TEXT NOT NULL,
    endpoint_id TEXT NOT NULL,
    mac TEXT NOT NULL,
    interface TEXT NOT NULL,
    claim TEXT NOT NULL,                  -- JSON ProcessIdentity
    PRIMARY KEY (network_id, address)
  ) STRICT, WITHOUT ROWID;
  CREATE INDEX leases_by_container ON leases(container_id);
  -- what DNS answers: names of those that have a lease
  CREATE TABLE network_names (
    network_id TEXT NOT NULL,
    name TEXT NOT NULL,                   -- lower case
    container_id TEXT NOT NULL,
    rank INTEGER NOT NULL,                -- 0 is the one a reverse look-up tells
    PRIMARY KEY (network_id, name, container_id)
  ) STRICT, WITHOUT ROWID;
  CREATE INDEX network_names_by_container ON network_names(container_id);
  -- ports of this host that containers publish: void when the claim's process is dead
  CREATE TABLE published_ports (
    protocol TEXT NOT NULL,               -- tcp, udp
    host_ip TEXT NOT NULL,                -- canonical; 0.0.0.0 and :: are every address of their family
    host_port INTEGER NOT NULL,
    container_id TEXT NOT NULL,
    container_port INTEGER NOT NULL,
    claim TEXT NOT NULL,                  -- JSON ProcessIdentity
    PRIMARY KEY (protocol, host_ip, host_port)
  ) STRICT, WITHOUT ROWID;
  CREATE INDEX published_ports_by_container ON published_ports(container_id);
  -- the kernel's side of a network with running containers
  CREATE TABLE network_runtime (
    network_id TEXT PRIMARY KEY,
    boot_id TEXT NOT NULL,
    inode INTEGER NOT NULL,               -- of the network namespace
    cookie TEXT,                          -- of it too: its inode alone may be another's meanwhile
    keeper TEXT NOT NULL,                 -- JSON ProcessIdentity
    version INTEGER NOT NULL              -- of what was set up in it
  ) STRICT;
  CREATE TRIGGER container_networks_deleted AFTER DELETE ON containers BEGIN
    DELETE FROM endpoints WHERE container_id = OLD.id;
    DELETE FROM leases WHERE container_id = OLD.id;
    DELETE FROM network_names WHERE container_id = OLD.id;
    DELETE FROM published_ports WHERE container_id = OLD.id;
  END;
  `,
  `
  -- what steps of builds have made, by all that they read (src/images/build-store/keys.ts); a row holds its layer
  CREATE TABLE build_cache (
    key TEXT PRIMARY KEY,
    diff_id TEXT NOT NULL,                -- of the step's layer
    size INTEGER NOT NULL,                -- bytes of the layer's tar
    step TEXT NOT NULL,                   -- as progress shows it
    made INTEGER NOT NULL,                -- ms since the epoch
    last_used INTEGER NOT NULL,           -- ms since the epoch
    uses INTEGER NOT NULL                 -- how often it was found
  ) STRICT, WITHOUT ROWID;
  CREATE INDEX build_cache_by_layer ON build_cache(diff_id);
  `,
  `
  -- commands made in a running container, started or not (src/state/execs.ts)
  CREATE TABLE execs (
    sequence INTEGER PRIMARY KEY,         -- a newer one has a higher one
    id TEXT NOT NULL UNIQUE,              -- 64 hexadecimal digits
    container_id TEXT NOT NULL,
    status TEXT NOT NULL,                 -- created, running, exited
    size INTEGER NOT NULL,                -- bytes of options
    options TEXT NOT NULL,                -- JSON ExecOptions
    pid INTEGER NOT NULL,                 -- of this host, once it has been started in user namespaces; else 0
    exit_code INTEGER                     -- once it has ended
  ) STRICT;
  CREATE INDEX execs_by_container ON execs(container_id, status, sequence, size);
  CREATE TRIGGER container_execs_deleted AFTER DELETE ON containers BEGIN
    DELETE FROM execs WHERE container_id = OLD.id;
  END;
  `,
  `
  -- names that stand for images of several platforms; gone as soon as the name is given to an image anew
  CREATE TABLE image_indexes (
    name TEXT NOT NULL REFERENCES image_names(name) ON DELETE CASCADE,
    position INTEGER NOT NULL,            -- in the index
    image_id TEXT NOT NULL,               -- the name's own image too; it may have been removed
    platform TEXT NOT NULL,               -- os/architecture[/variant]
    PRIMARY KEY (name, position)
  ) STRICT, WITHOUT ROWID;
  CREATE INDEX image_indexes_by_image ON image_indexes(image_id);
  `,
];

/** ms that a husk process waits for another's write transaction before it gives up */
const BUSY_TIMEOUT_MS = 10_000;
/** ms between two attempts where SQLite itself does not wait */
const BUSY_RETRY_MS = 5;

/**
 * Opens (and creates or migrates) the database.
 * @throws HuskError `unsupported` when a newer husk has written it, `corrupt` when SQLite cannot read it, or when it is
 * missing although its data is there
 */
export function openDatabase(file: string): DatabaseSync {
  using _opening = span('open the database');
  makeMissingFolders(dirname(file), 0o700);
  const { DatabaseSync } = sqlite();
  if (isFull(file)) spendReserve(file);
  let database: DatabaseSync | undefined;
  try {
    database = new DatabaseSync(file, { timeout: BUSY_TIMEOUT_MS });
    // The version is checked before anything is written: a database of a newer husk must stay as it is.
    refuseNewer(version(database), file);
    useWriteAheadLog(database);
    database.exec('PRAGMA synchronous = NORMAL; PRAGMA foreign_keys = ON');
    migrate(database, file);
    keepReserve(file);
    return database;
  } catch (error) {
    // A program that uses the library continues after the error, and would keep the file and its locks.
    if (database?.isOpen) database.close();
    if (error instanceof HuskError) throw error;
    const known = databaseError(error, file);
    if (known) throw known;
    const message = error instanceof Error ? error.message : String(error);
    throw new HuskError(`cannot open the database ${file}: ${message}`, { kind: 'corrupt', cause: error });
  }
}

/**
 * Sets the journal's mode, which the file keeps. SQLite waits for nobody here: of commands that open a new database at
 * once, all but one are told that it is locked, so each tries again for as long as it would wait for a writer.
 */
function useWriteAheadLog(database: DatabaseSync): void {
  const end = elapsed() + BUSY_TIMEOUT_MS;
  for (;;) {
    try {
      database.exec('PRAGMA journal_mode = WAL');
      return;
    } catch (error) {
      if (((error as { errcode?: number }).errcode ?? 0) % 256 !== SQLITE_BUSY || elapsed() > end) throw error;
      pauseThread(BUSY_RETRY_MS);
    }
  }
}

const statements = new WeakMap<DatabaseSync, Map<string, StatementSync>>();

/**
 * Compiles a statement once for as long as the database is open: a server runs the same few for each request, and
 * compiling one takes longer than most take to run. For constant texts alone, which are few; and not to iterate, since
 * two readers of one statement would disturb each other.
 */
export function prepared(database: DatabaseSync, sql: string): StatementSync {
  let known = statements.get(database);
  if (!known) statements.set(database, (known = new Map()));
  let statement = known.get(sql);
  if (!statement) known.set(sql, (statement = database.prepare(sql)));
  return statement;
}

/** @returns node:sqlite, loaded without its warning that it is experimental */
export function sqlite(): typeof import('node:sqlite') {
  const emitWarning = process.emitWarning;
  process.emitWarning = () => {};
  try {
    return createRequire(import.meta.url)('node:sqlite') as typeof import('node:sqlite');
  } finally {
    process.emitWarning = emitWarning;
  }
}

/** Creates the schema in `database`, whose file no other process uses yet. */
export function createSchema(database: DatabaseSync): void {
  for (const step of MIGRATIONS) database.exec(step);
  database.exec(`PRAGMA user_version = ${MIGRATIONS.length}`);
}

/**
 * folders beside a database that have contents only once it has records; a missing or empty database beside them has
 * been lost
 */
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
 * Runs `body` in one IMMEDIATE transaction: no other writer runs meanwhile, and either all of it happens or nothing. On
 * a full disk `body` runs again after room has been made, which is often enough for a removal, and that makes more
 * room. So other effects of `body` must be repeatable.
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

/** Runs `body`, which only reads, on the database as it is at one moment. */
export function snapshot<T>(database: DatabaseSync, body: () => T): T {
  database.exec('BEGIN');
  try {
    return body();
  } finally {
    database.exec('COMMIT');
  }
}

/** Makes room by emptying the write-ahead log. */
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
    // On a full disk SQLite has rolled back itself; another ROLLBACK would fail and hide the reason.
    if (database.isTransaction) database.exec('ROLLBACK');
    throw error;
  }
}
