/**
 * What `system check` asks about containers and volumes: records that parse, folders that are there, sockets and
 * cgroups that belong to somebody.
 */
import { existsSync, mkdirSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import type { DatabaseSync } from 'node:sqlite';
import { removeRememberedCgroup, remembersCgroup } from '../../container/cgroup/remains.ts';
import type { Paths } from '../../paths.ts';
import { isState, type ContainerState } from '../../state/containers.ts';
import { isAlive } from '../../state/process-identity.ts';
import { readAccess, type Access } from '../../supervisor/protocol/access.ts';
import { SupervisorClient } from '../../supervisor/client.ts';
import type { Problem } from './problem.ts';
import { isConfig, readContainerCopy } from '../record/record-copies.ts';
import { lostState, missingContainers, missingVolumes, names, restoreContainers, restoreVolumes } from './database.ts';

interface Row {
  id: string;
  name: string;
  config: string;
  state: string;
}

export async function* checkContainers(database: DatabaseSync, paths: Paths): AsyncGenerator<Problem> {
  const rows = database.prepare('SELECT id, name, config, state FROM containers').all() as unknown as Row[];
  const alive = new Set<string>();
  for (const row of rows) {
    const state = json(row.state);
    if (isState(state) && isAlive(state.supervisor)) alive.add(row.id);
    yield* checkRecord(row, state, database, paths);
    if (isState(state)) yield* checkFolder(row, state, { paths, isAlive: alive.has(row.id) });
  }
  const missing = missingContainers(database, paths);
  for (const id of missing) {
    const copy = readContainerCopy(paths, id);
    yield copy
      ? {
          kind: 'container',
          name: copy.name,
          problem: `has a folder and no record: ${paths.container(id)}`,
          repair: { what: 'its record was made again', run: () => void restoreContainers(database, paths) },
        }
      : {
          kind: 'container',
          name: id,
          problem: `has a folder and no record, and nothing says what it was: ${paths.container(id)}`,
          fix: 'look into it, then delete the folder',
        };
  }
  for (const name of missingVolumes(database, paths))
    yield {
      kind: 'volume',
      name,
      problem: `has data and no record: ${join(paths.volumes, name)}`,
      repair: { what: 'its record was made again', run: () => void restoreVolumes(database, paths) },
    };
  yield* checkVolumes(database, paths);
  yield* checkSockets(paths, alive);
}

function* checkRecord(row: Row, state: unknown, database: DatabaseSync, paths: Paths): Generator<Problem> {
  if (!isState(state))
    yield {
      kind: 'container',
      name: row.name,
      problem: 'the state in its record is damaged',
      repair: {
        what: 'it counts as stopped',
        run: () =>
          void database
            .prepare('UPDATE containers SET state = ? WHERE id = ?')
            .run(JSON.stringify(lostState(paths.container(row.id))), row.id),
      },
    };
  if (isConfig(json(row.config))) return;
  const copy = readContainerCopy(paths, row.id);
  yield {
    kind: 'container',
    name: row.name,
    problem: 'the config in its record is damaged',
    ...(copy
      ? {
          repair: {
            what: 'read from its copy again',
            run: () =>
              void database
                .prepare('UPDATE containers SET config = ? WHERE id = ?')
                .run(JSON.stringify(copy.config), row.id),
          },
        }
      : { fix: `what it wrote is in ${paths.container(row.id)}; no copy says how it was made` }),
  };
}

function* checkFolder(
  { id, name }: Row,
  state: ContainerState,
  { paths, isAlive: isRunning }: { paths: Paths; isAlive: boolean },
): Generator<Problem> {
  const folder = paths.container(id);
  if (!existsSync(folder)) {
    yield {
      kind: 'container',
      name,
      problem: `its folder is missing: ${folder}`,
      ...(state.status === 'created'
        ? {
            repair: {
              what: 'made, as it had nothing in it',
              run: () => void mkdirSync(folder, { recursive: true, mode: 0o711 }),
            },
          }
        : { fix: `what it wrote is gone: husk rm ${name}` }),
    };
    return;
  }
  const disk = join(folder, 'writable.ext4');
  if (statSync(disk, { throwIfNoEntry: false })?.size === 0)
    yield {
      kind: 'container',
      name,
      problem: `its disk is empty: ${disk}`,
      fix: `what it wrote is gone: husk rm ${name}`,
    };
  if (!isRunning && remembersCgroup(folder))
    yield {
      kind: 'cgroup',
      name,
      problem: 'its cgroup is there, though it does not run',
      repair: { what: 'removed', run: () => removeRememberedCgroup(folder) },
    };
}

function* checkVolumes(database: DatabaseSync, paths: Paths): Generator<Problem> {
  for (const { name, record } of database.prepare('SELECT name, record FROM volumes').all() as {
    name: string;
    record: string;
  }[]) {
    const parsed = json(record) as { options?: Record<string, string> } | undefined;
    if (!parsed)
      yield {
        kind: 'volume',
        name,
        problem: 'its record is damaged',
        repair: {
          what: 'made again from its copy; without one it has no labels any more',
          run: () => {
            database.prepare('DELETE FROM volumes WHERE name = ?').run(name);
            restoreVolumes(database, paths);
          },
        },
      };
    else if (!parsed.options?.['device'] && !existsSync(join(paths.volumes, name, '_data')))
      yield {
        kind: 'volume',
        name,
        problem: `its folder is missing: ${join(paths.volumes, name, '_data')}`,
        fix: `its data is gone: husk volume rm ${name}`,
      };
  }
}

/** A socket on which nobody listens; of which data root it was does not matter. */
async function* checkSockets(paths: Paths, alive: ReadonlySet<string>): AsyncGenerator<Problem> {
  for (const name of names(paths.runtimeDir).filter((each) => /^[0-9a-f]{16}\.sock$/.test(each))) {
    const socket = join(paths.runtimeDir, name);
    if ([...alive].some((id) => id.startsWith(name.slice(0, 16)))) continue;
    const client = await SupervisorClient.connect({ socket }).catch(() => undefined);
    client?.[Symbol.dispose]();
    if (!client && existsSync(socket))
      yield {
        kind: 'socket',
        name: socket,
        problem: 'nobody listens on it',
        repair: { what: 'taken away', run: () => rmSync(socket, { force: true }) },
      };
  }
}

/** Supervisors of this data root's containers that answer. */
export async function runningSupervisors(paths: Paths): Promise<{ id: string; access: Access }[]> {
  const found: { id: string; access: Access }[] = [];
  for (const id of names(paths.containers)) {
    const access = readAccess(paths, id);
    const client = existsSync(access.socket)
      ? await SupervisorClient.connect(access).catch(() => undefined)
      : undefined;
    client?.[Symbol.dispose]();
    if (client) found.push({ id, access });
  }
  return found;
}

function json(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
