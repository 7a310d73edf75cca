/** Docker's words about execs, for whoever starts one and whoever runs it. */
import { HuskError } from '../../errors.ts';
import type { ExecStatus } from '../../state/execs.ts';

/** Tells of a command that was started before. */
export function startedBefore(id: string, status: Exclude<ExecStatus, 'created'>): HuskError {
  return new HuskError(`Error: Exec command ${id} ${status === 'running' ? 'is already running' : 'has already run'}`, {
    kind: 'conflict',
  });
}

/** Tells of an id that no command has. */
export function noSuchExec(id: string): HuskError {
  return new HuskError(`No such exec instance: ${id}`, { kind: 'not-found' });
}
