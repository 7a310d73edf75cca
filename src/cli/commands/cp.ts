/** `husk cp` */
import { pipeline } from 'node:stream/promises';
import { HuskError } from '../../errors.ts';
import { splitArgument } from '../../engine/files/copy-rules.ts';
import type { Engine } from '../../engine/contract.ts';
import type { Context, Invocation } from '../grammar/command.ts';
import { CopyCounter } from '../output/copy-counter.ts';
import { streamOf } from '../output/archive-output.ts';
import { printable } from '../output/printable.ts';

export async function run({ flags, arguments: [source = '', destination = ''], context }: Invocation): Promise<number> {
  if (source === '') throw new HuskError('source can not be empty', { kind: 'invalid' });
  if (destination === '') throw new HuskError('destination can not be empty', { kind: 'invalid' });
  const from = splitArgument(source);
  const to = splitArgument(destination);
  if (from.container !== undefined && to.container !== undefined)
    throw new HuskError('copying between containers is not supported', { kind: 'invalid' });
  if (!from.container && !to.container)
    throw new HuskError('must specify at least one container source', { kind: 'invalid' });
  const engine = await context.engine();
  if (from.container !== undefined && to.path === '-')
    return stream(engine, { container: from.container, path: from.path }, context);
  if (to.container !== undefined && from.path === '-')
    return unpack(engine, { container: to.container, path: to.path }, context);

  const quiet = flags.has('quiet') && flags.changed('quiet') ? flags.bool('quiet') : context.stderr.isTTY !== true;
  const counter = new CopyCounter(context.stderr, {
    quiet,
    what: from.container === undefined ? 'Copying to container - ' : 'Copying from container - ',
  });
  const options = {
    followLink: flags.bool('follow-link'),
    archive: flags.bool('archive'),
    onBytes: (total: number) => counter.show(total),
    onLeftOut: (path: string, why: string) =>
      void context.stderr.write(printable(`husk: left out ${path}: ${why}\n`, context.stderr, { lines: true })),
  };
  try {
    const went =
      from.container === undefined
        ? `${to.container}:${await engine.copyTo(to.container!, from.path, to.path, options)}`
        : await engine.copyFrom(from.container, from.path, to.path, options);
    counter.end(printable(went, context.stderr));
  } catch (error) {
    counter.clear();
    throw error;
  }
  return 0;
}

async function stream(engine: Engine, from: { container: string; path: string }, context: Context): Promise<number> {
  // The names in the archive are the container's, which must not control a terminal.
  if (context.stdout.isTTY)
    throw new HuskError('cowardly refusing to write an archive to a terminal. Redirect it', { kind: 'invalid' });
  const { tar } = await engine.archive(from.container, slashed(from.path));
  await pipeline(tar, streamOf(context.stdout), { end: false });
  return 0;
}

async function unpack(engine: Engine, to: { container: string; path: string }, context: Context): Promise<number> {
  if (context.stdin.isTTY) throw new HuskError('requested cp from stdin, but stdin is empty', { kind: 'invalid' });
  const notAFolder = () =>
    new HuskError(`destination "${to.container}:${to.path}" must be a directory`, { kind: 'invalid' });
  const path = await engine.statPath(to.container, slashed(to.path)).then(
    async (stat) =>
      stat.linkTarget === ''
        ? { path: slashed(to.path), mode: stat.mode }
        : { path: stat.linkTarget, mode: (await engine.statPath(to.container, stat.linkTarget)).mode },
    (error: unknown) => {
      throw error instanceof HuskError && error.message.startsWith('Could not find') ? notAFolder() : error;
    },
  );
  // S_IFDIR of inode(7)
  if ((path.mode & 0o170000) !== 0o040000) throw notAFolder();
  await engine.extract(to.container, path.path, context.stdin);
  return 0;
}

const slashed = (path: string): string => (path.startsWith('/') ? path : `/${path}`);
