/**
 * What the engine does with a container's files: stat, archive, extract, export and changes, and what readers of events
 * are told of it. Docker's words for a path that is not there.
 */
import { Readable } from 'node:stream';
import { EXIT_HUSK_FAILED, HuskError } from '../../errors.ts';
import type { PathStat } from '../../sandbox.ts';
import type { ExtractOptions } from '../contract.ts';
import type { EngineContext } from '../record/context.ts';
import { recordEvent } from '../record/events.ts';
import { resolve } from '../record/reconcile.ts';
import type { Change } from './answer.ts';
import { streaming, withFiles } from './container-files.ts';

export async function statPath(context: EngineContext, reference: string, path: string): Promise<PathStat> {
  const container = resolve(context, reference);
  return named(reference, path, () => withFiles(context, container, (files) => files.stat(path)));
}

export async function archive(
  context: EngineContext,
  reference: string,
  path: string,
  options: { name?: string } = {},
): Promise<{ stat: PathStat; tar: Readable }> {
  const container = resolve(context, reference);
  const pack = () => streaming(context, container, (files) => files.archive(path, options));
  const answer = await named(reference, path, pack);
  recordEvent(context, container, 'archive-path');
  return answer;
}

export async function extract(
  context: EngineContext,
  reference: string,
  path: string,
  tar: Readable,
  options: ExtractOptions = {},
): Promise<void> {
  const container = resolve(context, reference);
  const { decompress } = await import('../../images/layers/decompress.ts');
  const plain = Readable.from(decompress(tar, { programs: true }), { objectMode: false });
  const { user } = container.config;
  const asked = { replaceKinds: options.replaceKinds, ...(options.containerUser && user !== '' && { user }) };
  try {
    await named(reference, path, () => withFiles(context, container, (files) => files.extract(path, plain, asked)));
  } catch (error) {
    // nobody takes the rest: whoever writes it must not be waited for
    tar.destroy();
    throw error;
  }
  recordEvent(context, container, 'extract-to-dir');
}

export async function exportContainer(context: EngineContext, reference: string): Promise<Readable> {
  const container = resolve(context, reference);
  const { tar } = await streaming(context, container, async (files) => ({ tar: await files.export() }));
  recordEvent(context, container, 'export');
  return tar;
}

export async function changes(context: EngineContext, reference: string): Promise<Change[]> {
  const container = resolve(context, reference);
  return withFiles(context, container, (files) => files.changes());
}

/**
 * Docker's client ends these commands with 1 whatever failed, in its daemon or beneath it; 125 is `run`'s own word for
 * "no container ran". (docker/cli cmd/docker: an error without a status code of its own.)
 */
export async function endingWithOne<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    throw error instanceof HuskError && error.exitCode === EXIT_HUSK_FAILED ? error.withExitCode(1) : error;
  }
}

/** Docker's text for a path that is not there, whoever noticed. */
export async function named<T>(container: string, path: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (error instanceof HuskError && error.kind === 'not-found' && !error.message.startsWith('No such container'))
      throw new HuskError(`Could not find the file ${path} in container ${container}`, {
        kind: 'not-found',
        cause: error,
      });
    throw error;
  }
}
