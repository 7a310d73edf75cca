/**
 * `checkpoint create`, `ls`, `rm`: a running container's machine, saved as a fork saves it (fork.ts), and kept. It has
 * the container's disk of that moment with it: memory and disk belong together, and what the container wrote since is
 * gone with a start from the checkpoint. A command that was killed leaves `.<pid>.half` beside the others.
 *
 *   saved/<id>.checkpoints/<name>/state, memory, disk     where no monitor looks or writes
 *   <--checkpoint-dir>/<name>/…                           as the user wants it
 */
import { existsSync, mkdirSync, readdirSync, renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { HuskError } from '../../errors.ts';
import { copySparse } from '../../host/files/copy-sparse.ts';
import { savedFiles } from '../../vmm/snapshot/saved-files.ts';
import type { Engine } from '../contract.ts';
import { stop } from '../life/stop.ts';
import type { EngineContext } from '../record/context.ts';
import { recordEvent } from '../record/events.ts';
import { resolve } from '../record/reconcile.ts';
import { checkForkable } from './plan.ts';
import { existing, NAME, PARTS, placeOf, type Place } from './put-back.ts';
import { checkpointsOf, lockSaved, saveMachine, takeSaved } from './saved.ts';

type CreateOptions = NonNullable<Parameters<Engine['createCheckpoint']>[2]>;

/** @throws HuskError in Docker's words */
export async function createCheckpoint(
  context: EngineContext,
  reference: string,
  name: string,
  { leaveRunning = false, directory }: CreateOptions = {},
): Promise<void> {
  const container = resolve(context, reference);
  if (!NAME.test(name))
    throw new HuskError(`Invalid checkpoint ID (${name}), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed`, {
      kind: 'invalid',
    });
  checkForkable(container, 'checkpoint');
  const place = placeOf(context, container, { name, directory });
  {
    using saving = await lockSaved(context.paths, container.id);
    if (existsSync(place))
      throw new HuskError(`checkpoint with name ${name} already exists for container ${container.name}`, {
        kind: 'conflict',
      });
    await saveMachine(context, container);
    keep(takeSaved(context.paths, container.id, saving), place);
  }
  recordEvent(context, container, 'checkpoint', { checkpoint: name });
  // what it does meanwhile is not in the checkpoint, and its disk is that of the checkpoint when it goes on from it
  if (!leaveRunning) await stop(context, container.id, { timeout: 0 });
}

/** It appears whole, by a rename; its folder may be on another file system. */
function keep(folder: string, place: string): void {
  const above = join(place, '..');
  mkdirSync(above, { recursive: true, mode: 0o700 });
  const half = join(above, `.${process.pid}.half`);
  rmSync(half, { recursive: true, force: true });
  mkdirSync(half, { mode: 0o700 });
  try {
    for (const part of PARTS) move(savedFiles(folder)[part], savedFiles(half)[part]);
    renameSync(half, place);
  } catch (error) {
    rmSync(half, { recursive: true, force: true });
    throw error;
  }
}

function move(from: string, to: string): void {
  try {
    renameSync(from, to);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EXDEV') throw error;
    copySparse(from, to);
  }
}

/** @returns names */
export function checkpoints(context: EngineContext, reference: string, { directory }: Place = {}): string[] {
  const folder = directory ?? checkpointsOf(context.paths, resolve(context, reference).id);
  if (!existsSync(folder)) return [];
  return readdirSync(folder)
    .filter((name) => NAME.test(name) && existsSync(savedFiles(join(folder, name)).state))
    .sort();
}

export function removeCheckpoint(
  context: EngineContext,
  reference: string,
  name: string,
  { directory }: Place = {},
): void {
  const container = resolve(context, reference);
  const place = existing(context, container, { name, directory });
  // what else lies in a folder of the user's is the user's
  for (const part of PARTS) rmSync(savedFiles(place)[part], { force: true });
  rmSync(place, { recursive: directory === undefined, force: directory === undefined });
}
