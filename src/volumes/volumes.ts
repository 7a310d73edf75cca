/**
 * Named and anonymous volumes: a record in the `volumes` table and a folder `volumes/<name>/_data`. A volume exists
 * when its record does. Both are made in one transaction, so an empty folder without a record is what a crash left, and
 * the next prune removes it.
 */
import { chmodSync, chownSync, existsSync, mkdirSync, readdirSync, renameSync } from 'node:fs';
import { join } from 'node:path';
import type { DatabaseSync } from 'node:sqlite';
import { causeOf, HuskError } from '../errors.ts';
import { goPattern } from '../notation/go-pattern.ts';
import { parseBool } from '../notation/scalars.ts';
import { hasLabel } from '../notation/labels.ts';
import type { Paths } from '../paths.ts';
import { makeFolder } from '../host/files/make-folder.ts';
import { idMaps } from '../rootless/idmap.ts';
import { removeTree, treeSize } from '../rootless/trees.ts';
import { writeCopy } from '../state/copies.ts';
import { transaction } from '../state/database.ts';
import { appendEvent } from '../state/events.ts';
import { tmpPath } from '../state/tmp-folder.ts';
import type { CreateVolume, ResolvedMount, Volume, VolumeFilters, Volumes } from './contract.ts';
import { anonymousName, checkVolumeName } from './name.ts';
import { populateMounts } from './populate.ts';
import { isPlainBind, resolveMounts } from './resolve.ts';

export interface VolumesOptions {
  database: DatabaseSync;
  paths: Paths;
  /** ids of the containers, running or not, whose records name the volume */
  inUse: (name: string) => string[];
}

/** the JSON of the `record` column */
interface VolumeRecord {
  driver: string;
  labels: Record<string, string>;
  options: Record<string, string>;
}

/** volumes/<name>/record.json: a copy of the record, in case the database is damaged */
export interface VolumeCopy extends VolumeRecord {
  createdAt: number;
  anonymous: boolean;
}

export const volumeCopy = (paths: Pick<Paths, 'volumes'>, name: string) => join(paths.volumes, name, 'record.json');

interface Row {
  name: string;
  created_at: number;
  anonymous: number;
  record: string;
}

export function openVolumes({ database, paths, inUse }: VolumesOptions): Volumes {
  const toVolume = (row: Row): Volume => {
    const record = parseRecord(row);
    const device = record.options['device'];
    return {
      name: row.name,
      createdAt: row.created_at,
      anonymous: row.anonymous !== 0,
      ...record,
      mountpoint: device ?? join(paths.volumes, row.name, '_data'),
    };
  };

  const find = (name: string): Volume | undefined => {
    const row = database.prepare('SELECT * FROM volumes WHERE name = ?').get(name) as Row | undefined;
    return row && toVolume(row);
  };

  const get = (name: string): Volume => {
    const volume = find(name);
    if (!volume) throw new HuskError(`get ${name}: no such volume`, { kind: 'not-found' });
    return volume;
  };

  const record = (action: string, name: string, attributes: Record<string, string>): void =>
    appendEvent(database, { Type: 'volume', Action: action, Actor: { ID: name, Attributes: attributes } });

  const create = (request: CreateVolume): Volume => {
    const name = request.name || anonymousName();
    checkVolumeName(name);
    const driver = request.driver || 'local';
    if (driver !== 'local')
      throw new HuskError(`create ${name}: error looking up volume plugin ${driver}: plugin "${driver}" not found`, {
        kind: 'not-found',
      });
    const options = request.options ?? {};
    checkOptions(name, options);
    const present = find(name);
    if (present) {
      if (Object.keys(options).length > 0 && JSON.stringify(present.options) !== JSON.stringify(options))
        throw new HuskError(`create ${name}: conflict: volume name must be unique`, { kind: 'conflict' });
      return present;
    }
    const made = inTransaction(database, () => {
      makeVolumeFolder(paths, name);
      // OR IGNORE: another husk may have made the volume meanwhile; its record stays.
      const { changes } = database
        .prepare('INSERT OR IGNORE INTO volumes (name, created_at, anonymous, record) VALUES (?, ?, ?, ?)')
        .run(
          name,
          Date.now(),
          request.name ? 0 : 1,
          JSON.stringify({ driver, labels: request.labels ?? {}, options } satisfies VolumeRecord),
        );
      if (Number(changes) > 0) record('create', name, { driver });
      return Number(changes) > 0;
    });
    if (made)
      writeCopy(volumeCopy(paths, name), {
        createdAt: Date.now(),
        anonymous: !request.name,
        driver,
        labels: request.labels ?? {},
        options,
      } satisfies VolumeCopy);
    return get(name);
  };

  const list = (filters: VolumeFilters = {}): Volume[] => {
    checkFilters(filters, ['dangling', 'driver', 'label', 'name']);
    // As in moby, a value is the name itself, or a regular expression that may match anywhere in the name.
    const names = filters['name']?.map((value) => ({ value, matches: goPattern(value, 'filter name') }));
    const dangling = filters['dangling']?.map(boolean);
    const rows = database.prepare('SELECT * FROM volumes ORDER BY name').all() as unknown as Row[];
    return rows
      .map(toVolume)
      .filter(
        (volume) =>
          some(names, ({ value, matches }) => volume.name === value || matches(volume.name)) &&
          some(filters['driver'], (value) => volume.driver === value) &&
          (filters['label'] ?? []).every((value) => hasLabel(volume.labels, value)) &&
          some(dangling, (value) => value === (inUse(volume.name).length === 0)),
      );
  };

  /**
   * Deletes the record, and sets the folder aside to delete it afterwards: at whatever point this is interrupted, no
   * volume is half there.
   */
  const drop = async (name: string): Promise<void> => {
    const aside = tmpPath(paths, 'volume');
    const moved = inTransaction(database, () => {
      const users = inUse(name);
      if (users.length > 0)
        throw new HuskError(`remove ${name}: volume is in use - [${users.join(', ')}]`, { kind: 'conflict' });
      if (Number(database.prepare('DELETE FROM volumes WHERE name = ?').run(name).changes) > 0)
        record('destroy', name, { driver: 'local' });
      try {
        renameSync(join(paths.volumes, name), aside);
        return true;
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code === 'ENOENT') return false;
        throw error;
      }
    });
    if (moved) await removeTree(aside);
  };

  /**
   * Sets aside the folders of volumes whose creation was killed; no other process can be creating one during this
   * transaction.
   */
  const setUnmadeAside = (): string[] =>
    inTransaction(database, () => {
      const unmade = (existsSync(paths.volumes) ? readdirSync(paths.volumes) : []).filter(
        (name) =>
          find(name) === undefined &&
          !existsSync(volumeCopy(paths, name)) &&
          isEmpty(join(paths.volumes, name, '_data')),
      );
      return unmade.map((name) => {
        const aside = tmpPath(paths, 'volume');
        renameSync(join(paths.volumes, name), aside);
        return aside;
      });
    });

  const prune = async (options: { all?: boolean; filters?: VolumeFilters } = {}) => {
    const filters = options.filters ?? {};
    checkFilters(filters, ['label', 'label!', 'all']);
    const all = options.all || (filters['all'] ?? []).some(boolean);
    const deleted: string[] = [];
    let reclaimed = 0;
    for (const volume of list()) {
      if (!(all || volume.anonymous) || inUse(volume.name).length > 0) continue;
      if (
        !(filters['label'] ?? []).every((value) => hasLabel(volume.labels, value)) ||
        (filters['label!'] ?? []).some((value) => hasLabel(volume.labels, value))
      )
        continue;
      const size = await sizeOf(volume);
      try {
        await drop(volume.name);
      } catch (error) {
        if (error instanceof HuskError && error.kind === 'conflict') continue; // a container has used it since
        throw error;
      }
      deleted.push(volume.name);
      reclaimed += size;
    }
    for (const aside of setUnmadeAside()) await removeTree(aside);
    record('prune', '', { reclaimed: String(reclaimed) });
    return { deleted, reclaimed };
  };

  return {
    create,
    find,
    get,
    list,
    prune,
    async remove(name, options = {}) {
      if (!find(name)) {
        if (options.force) return;
        throw new HuskError(`get ${name}: no such volume`, { kind: 'not-found' });
      }
      await drop(name);
    },
    size: async (name) => sizeOf(get(name)),
    inspect(name) {
      const volume = get(name);
      const orNull = (values: Record<string, string>) => (Object.keys(values).length > 0 ? values : null);
      return {
        CreatedAt: new Date(volume.createdAt).toISOString().replace(/\.\d+Z$/, 'Z'),
        Driver: volume.driver,
        Labels: orNull(volume.labels),
        // Docker shows the volume's own folder, even when its options name a device.
        Mountpoint: join(paths.volumes, volume.name, '_data'),
        Name: volume.name,
        Options: orNull(volume.options),
        Scope: 'local',
      };
    },
    resolve: (request) =>
      resolveMounts(request, { create, ...(process.getuid!() === 0 ? { owner: containerRoot() } : {}) }),
    populate: (mounts, options) => populateMounts(mounts, options, paths),
    async removeAnonymous(mounts: readonly ResolvedMount[]) {
      const removed: string[] = [];
      for (const { name } of mounts) {
        if (name === undefined || !find(name)?.anonymous || inUse(name).length > 0) continue;
        await drop(name);
        removed.push(name);
      }
      return removed;
    },
  };
}

function parseRecord({ name, record }: Row): VolumeRecord {
  try {
    return JSON.parse(record) as VolumeRecord;
  } catch (error) {
    throw new HuskError(`the record of volume ${name} is damaged: ${causeOf(error)}`, {
      kind: 'corrupt',
      fix: 'husk system check --repair',
      cause: error,
    });
  }
}

async function sizeOf(volume: Volume): Promise<number> {
  return volume.options['device'] ? 0 : treeSize(volume.mountpoint);
}

export function containerRoot(): { uid: number; gid: number } {
  const maps = idMaps();
  return { uid: maps.uid[0]!.hostID, gid: maps.gid[0]!.hostID };
}

function isEmpty(folder: string): boolean {
  try {
    return readdirSync(folder).length === 0;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'ENOENT';
  }
}

function makeVolumeFolder(paths: Paths, name: string): void {
  const folder = join(paths.volumes, name);
  // 0711: where root runs husk the container's root is another user, who must pass through.
  makeFolder(folder, 0o711);
  const data = join(folder, '_data');
  mkdirSync(data, { recursive: true });
  if (process.getuid!() === 0) {
    const owner = containerRoot();
    chownSync(data, owner.uid, owner.gid);
  }
  chmodSync(data, 0o755);
}

/** Accepts those of the local driver's options that need no mount by host root. */
function checkOptions(name: string, options: Record<string, string>): void {
  for (const key of Object.keys(options))
    if (!['type', 'o', 'device'].includes(key))
      throw new HuskError(`create ${name}: invalid option: "${key}"`, { kind: 'invalid' });
  if (Object.keys(options).length === 0) return;
  if (!isPlainBind(options))
    throw new HuskError(
      `create ${name}: a volume of type ${JSON.stringify(options['type'] ?? '')} with options ${JSON.stringify(options['o'] ?? '')} would be mounted by host root, which husk never is`,
      {
        kind: 'unsupported',
        fix: 'use -o type=none -o o=bind -o device=/a/host/folder, or mount it on the host and bind the folder',
      },
    );
  if (!options['device']?.startsWith('/'))
    throw new HuskError(`create ${name}: missing device in volume options`, { kind: 'invalid' });
}

function inTransaction<T>(database: DatabaseSync, body: () => T): T {
  return database.isTransaction ? body() : transaction(database, body);
}

function some<T>(values: readonly T[] | undefined, matches: (value: T) => boolean): boolean {
  return values === undefined || values.length === 0 || values.some(matches);
}

function boolean(value: string): boolean {
  try {
    return parseBool(value);
  } catch {
    throw new HuskError(`invalid filter 'dangling=${value}'`, { kind: 'invalid' });
  }
}

function checkFilters(filters: VolumeFilters, known: string[]): void {
  for (const key of Object.keys(filters))
    if (!known.includes(key)) throw new HuskError(`invalid filter '${key}'`, { kind: 'invalid' });
}
