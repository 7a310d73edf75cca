/** Rows of execs as they really are: a supervisor that was killed wrote nothing of those that ended with it. */
import { HuskError } from '../../errors.ts';
import { ExecStore, type ExecRow } from '../../state/execs.ts';
import { noSuchExec } from '../../supervisor/life/exec-errors.ts';
import type { ExecOptions, ExecRecord } from '../contract.ts';
import type { EngineContext } from './context.ts';
import { resolve } from './reconcile.ts';

/**
 * @param id whole, as `execCreate` gave it
 * @throws HuskError `not-found`, also for one that has gone with its container's life
 */
export function findExec(context: EngineContext, id: string): ExecRow<ExecOptions> {
  const store = new ExecStore<ExecOptions>(context.database);
  const row = store.get(id);
  if (!row) throw noSuchExec(id);
  if (row.status === 'exited') return row;
  try {
    // mends the rows of a container whose supervisor was killed
    resolve(context, row.container);
  } catch (error) {
    if (error instanceof HuskError && error.kind === 'not-found') throw noSuchExec(id);
    throw error;
  }
  const now = store.get(id);
  if (!now) throw noSuchExec(id);
  return now;
}

export function execInspect(context: EngineContext, id: string): ExecRecord {
  const { container, options, status, exitCode, pid } = findExec(context, id);
  return { id, container, options, running: status === 'running', exitCode, pid };
}
