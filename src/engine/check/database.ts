/**
 * The database of a data root: whether SQLite finds it whole, and a new one in its place when not, out of what can
 * still be read of it and of what the folders say. The damaged one is kept beside it. Every step can be broken off and
 * done again.
 */
import { existsSync, linkSync, readdirSync, renameSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import type { DatabaseSync } from 'node:sqlite';
import { databaseError, HuskError } from '../../errors.ts';
import { rebuildImages } from '../../images/rebuild.ts';
import { NetworkRecords } from '../../network/records/records.ts';
import { networkName } from '../../notation/modes.ts';
import type { Paths } from '../../paths.ts';
import { NEVER, type ContainerState } from '../../state/containers.ts';
import { createSchema, hasData, openDatabase, sqlite } from '../../state/database.ts';
import { readCopy } from '../../state/copies.ts';
import { rfc3339 } from '../../state/time.ts';
import { volumeCopy, type VolumeCopy } from '../../volumes/volumes.ts';
import type { CreateOptions } from '../contract.ts';
import { readNetworks } from '../request/networks.ts';
import { readContainerCopy } from '../record/record-copies.ts';
import { FILES, salvage } from './salvage.ts';

/** problems that SQLite tells of; the first says enough */
const MAX_PROBLEMS = 3;
const TABLES = ['containers', 'images', 'layers', 'volumes', 'networks', 'endpoints', 'build_cache', 'execs', 'events'];
const ID = /^[0-9a-f]{64}$/;

/**
 * @returns what is wrong with it, or undefined. @throws HuskError when a newer husk has written it, or it cannot be
 * opened at all
 */
export function databaseProblem(paths: Paths): string | undefined {
  const { database: file } = paths;
  if (!existsSync(file) || statSync(file).size === 0)
    return hasData(paths.dataRoot)
      ? 'is missing or empty, and there are containers, images or volumes beside it'
      : undefined;
  try {
    using closing = closer(openDatabase(file));
    const { database } = closing;
    const found = (
      database.prepare(`PRAGMA integrity_check(${MAX_PROBLEMS})`).all() as { integrity_check: string }[]
    ).map((row) => row.integrity_check.replace(/\s+/g, ' '));
    if (found.join() !== 'ok') return found.join('; ');
    // a schema that is not ours: rows can be whole and the table gone
    for (const table of TABLES) database.prepare(`SELECT count(*) FROM ${table}`).get();
    return undefined;
  } catch (error) {
    const known = error instanceof HuskError ? error : databaseError(error, file);
    if (known && known.kind !== 'corrupt') throw known;
    return (error as Error).message;
  }
}

function closer(database: DatabaseSync): { database: DatabaseSync } & Disposable {
  return { database, [Symbol.dispose]: () => database.close() };
}

/** @returns what the new one has, and where the old one is */
export function rebuildDatabase(paths: Paths): string {
  const { database: file, dataRoot, tmp } = paths;
  const fresh = `${file}.rebuild`;
  for (const suffix of FILES) rmSync(fresh + suffix, { force: true });
  const database = new (sqlite().DatabaseSync)(fresh);
  let counts: string;
  try {
    createSchema(database);
    if (existsSync(file)) salvage(file, database, tmp);
    restoreMissing(database, paths);
    const count = (table: string): number =>
      (database.prepare(`SELECT count(*) AS n FROM ${table}`).get() as { n: number }).n;
    counts = `${count('containers')} containers, ${count('images')} images, ${count('volumes')} volumes`;
  } finally {
    database.close();
  }
  const kept = `${file}.damaged-${new Date().toISOString().replace(/[:.]/g, '-')}`;
  for (const suffix of FILES) if (existsSync(file + suffix)) linkSync(file + suffix, kept + suffix);
  // a log of the old one must never be played into the new one
  for (const suffix of FILES.slice(1)) rmSync(file + suffix, { force: true });
  renameSync(fresh, file);
  return `rebuilt with ${counts} in ${dataRoot}${existsSync(kept) ? `; the damaged one is kept as ${kept}` : ''}`;
}

/**
 * Records for what the folders have and the database has not.
 * @returns a line for each
 */
function restoreMissing(database: DatabaseSync, paths: Paths): string[] {
  const { images, layers } = rebuildImages({ database, paths });
  return [
    ...(images + layers > 0 ? [`${images} images and ${layers} layers found in their folders`] : []),
    ...restoreContainers(database, paths),
    ...restoreVolumes(database, paths),
  ];
}

export function missingContainers(database: DatabaseSync, paths: Paths): string[] {
  return names(paths.containers).filter(
    (id) => ID.test(id) && database.prepare('SELECT 1 FROM containers WHERE id = ?').get(id) === undefined,
  );
}

export function restoreContainers(database: DatabaseSync, paths: Paths): string[] {
  const insert = database.prepare(
    'INSERT OR IGNORE INTO containers (id, name, image_id, created_at, config, state) VALUES (?, ?, ?, ?, ?, ?)',
  );
  return missingContainers(database, paths).flatMap((id) => {
    const copy = readContainerCopy(paths, id);
    if (!copy) return [];
    const isTaken = database.prepare('SELECT 1 FROM containers WHERE name = ?').get(copy.name) !== undefined;
    const name = isTaken ? `${copy.name}_${id.slice(0, 12)}` : copy.name;
    insert.run(
      id,
      name,
      copy.imageId,
      copy.createdAt,
      JSON.stringify(copy.config),
      JSON.stringify(lostState(paths.container(id))),
    );
    restoreEndpoints(database, id, copy.config.options);
    return [`container ${name}`];
  });
}

/** What it was made to be on, as far as that is there; what was changed since is lost with the record. */
function restoreEndpoints(database: DatabaseSync, containerId: string, options: CreateOptions): void {
  const records = new NetworkRecords(database);
  try {
    for (const { mode, wanted } of readNetworks(options)) {
      const network = mode.kind === 'container' ? undefined : records.byName(networkName(mode));
      if (network) records.want({ networkId: network.id, network: network.name, containerId, wanted });
    }
  } catch {
    // what it asked for cannot be read: its start will say so
  }
}

/** Whether it ran, and how it ended, the record knew alone. */
export function lostState(folder: string): ContainerState {
  const ran = ['upper', 'writable.ext4'].some((name) => existsSync(join(folder, name)));
  const at = ran ? rfc3339(BigInt(Math.trunc(statSync(folder).mtimeMs)) * 1_000_000n) : NEVER;
  return {
    status: ran ? 'exited' : 'created',
    pid: 0,
    exitCode: ran ? 255 : 0,
    error: ran ? 'how it ended was lost with its record' : '',
    oomKilled: false,
    startedAt: at,
    finishedAt: at,
    restartCount: 0,
    stoppedByUser: true,
  };
}

export function restoreVolumes(database: DatabaseSync, paths: Paths): string[] {
  const insert = database.prepare(
    'INSERT OR IGNORE INTO volumes (name, created_at, anonymous, record) VALUES (?, ?, ?, ?)',
  );
  return missingVolumes(database, paths).map((name) => {
    const copy = (readCopy(volumeCopy(paths, name)) ?? {}) as Partial<VolumeCopy>;
    const record = { driver: 'local', labels: texts(copy.labels), options: texts(copy.options) };
    insert.run(
      name,
      typeof copy.createdAt === 'number' ? copy.createdAt : Math.trunc(statSync(join(paths.volumes, name)).mtimeMs),
      Number(copy.anonymous ?? ID.test(name)),
      JSON.stringify(record),
    );
    return `volume ${name}`;
  });
}

/** Folders of volumes without a record. An empty one is what a crash left between making the one and the other. */
export function missingVolumes(database: DatabaseSync, paths: Paths): string[] {
  return names(paths.volumes).filter(
    (name) =>
      database.prepare('SELECT 1 FROM volumes WHERE name = ?').get(name) === undefined &&
      (names(join(paths.volumes, name, '_data')).length > 0 || readCopy(volumeCopy(paths, name)) !== undefined),
  );
}

function texts(value: unknown): Record<string, string> {
  return typeof value === 'object' && value !== null
    ? Object.fromEntries(
        Object.entries(value).filter((entry): entry is [string, string] => typeof entry[1] === 'string'),
      )
    : {};
}

export function names(folder: string): string[] {
  try {
    return readdirSync(folder);
  } catch {
    return [];
  }
}
