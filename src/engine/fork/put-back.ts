/** What `start --checkpoint` goes on with: where a checkpoint is, and the disk that a container gets back with it. */
import { existsSync, lstatSync, renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { HuskError } from '../../errors.ts';
import { copySparse } from '../../host/files/copy-sparse.ts';
import { identifySelf, isAlive } from '../../state/process-identity.ts';
import { savedFiles } from '../../vmm/snapshot/saved-files.ts';
import type { Container } from '../contract.ts';
import type { EngineContext } from '../record/context.ts';
import { isRunning, reread } from '../record/supervisor-link.ts';
import { checkInMachine } from './plan.ts';
import { checkpointsOf, isOwn } from './saved.ts';

/** moby names.RestrictedNamePattern: no path, and none that begins with a dot */
export const NAME = /^[a-zA-Z0-9][a-zA-Z0-9_.-]+$/;
export const PARTS = ['state', 'memory', 'disk'] as const;

export interface Place {
  /** absolute; @default a folder of husk's */
  directory?: string | undefined;
}

export function placeOf(
  { paths }: EngineContext,
  { id }: Container,
  { name, directory }: { name: string } & Place,
): string {
  return join(directory ?? checkpointsOf(paths, id), name);
}

/** @throws HuskError `not-found` in Docker's words; `corrupt` for one that others may have written */
export function existing(context: EngineContext, container: Container, wanted: { name: string } & Place): string {
  const place = placeOf(context, container, wanted);
  if (!NAME.test(wanted.name) || !lstatSync(place, { throwIfNoEntry: false })?.isDirectory())
    throw new HuskError(`checkpoint ${wanted.name} does not exist for container ${container.name}`, {
      kind: 'not-found',
    });
  return place;
}

/** A container that is about to go on from a checkpoint. */
export interface PutBack {
  /** of the machine */
  folder: string;
  /** it runs: the disk that it had before goes */
  keep(): void;
  /** it does not: it has its disk again */
  undo(): void;
}

/**
 * Gives a container that does not run the disk of its checkpoint. Attack: whoever can write the machine's files runs
 * code in it, so they are the user's alone.
 * @returns undefined when another process has the container
 * @throws HuskError `not-found`, `corrupt`, `unsupported`
 */
export function putBack(
  context: EngineContext,
  container: Container,
  wanted: { name: string } & Place,
): PutBack | undefined {
  checkInMachine(container, 'start a checkpoint of');
  const folder = existing(context, container, wanted);
  const files = savedFiles(folder);
  if (![folder, ...PARTS.map((part) => files[part])].every(isOwn))
    throw new HuskError(`cannot go on from the checkpoint ${folder}: others may have written it`, {
      kind: 'corrupt',
      fix: 'it must be yours, and closed to others',
    });
  const own = join(context.paths.container(container.id), 'writable.ext4');
  const [before, half] = [`${own}.before`, `${own}.checkpoint`];
  const self = identifySelf();
  let isClaimed = false;
  context.store.change(container.id, (state) => {
    if ((state.claim && isAlive(state.claim.by)) || !['created', 'exited'].includes(state.status)) return undefined;
    isClaimed = true;
    return { ...state, claim: { by: self, operation: 'copy' } };
  });
  if (!isClaimed) return undefined;
  try {
    rmSync(half, { force: true });
    copySparse(files.disk, half);
    if (existsSync(own)) renameSync(own, before);
    renameSync(half, own);
  } finally {
    rmSync(half, { force: true });
    context.store.change(container.id, (state) => ({ ...state, claim: undefined }));
  }
  return {
    folder,
    keep: () => rmSync(before, { force: true }),
    undo: () => {
      const now = reread(context, container.id);
      // another start has it by now, with the disk of the checkpoint
      if (!now || isRunning(now) || now.state.claim) return;
      if (existsSync(before)) renameSync(before, own);
    },
  };
}
