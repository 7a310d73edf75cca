/** `husk start`, with -a and -i for one container. */
import { HuskError } from '../../errors.ts';
import { checkpointFolder } from '../checkpoint-folder.ts';
import { detachKeys } from '../client-config.ts';
import type { Context, Invocation } from '../grammar/command.ts';
import { forEach } from '../each.ts';
import type { FlagSet } from '../grammar/flag-set.ts';
import { parseDetachKeys } from '../../notation/detach-keys.ts';
import { startReports } from '../output/warn.ts';
import { checkTerminal, consoleSize, runSession } from '../session.ts';

export async function run({ flags, arguments: names, context }: Invocation): Promise<number> {
  if (flags.bool('all-restartable')) return startRestartable(flags, context);
  const interactive = flags.bool('interactive');
  const name = flags.string('checkpoint');
  if (name !== '' && names.length > 1)
    throw new HuskError('you cannot restore multiple containers at once', { kind: 'invalid' });
  const restored = name === '' ? {} : { checkpoint: { name, directory: checkpointFolder(flags) } };
  const how = { ...startReports(context), ...restored };
  if (!flags.bool('attach') && !interactive) {
    const engine = await context.engine();
    return forEach(names, context, (name) => engine.start(name, how), { inSum: notStarted });
  }
  if (names.length > 1)
    throw new HuskError('you cannot start and attach multiple containers at once', { kind: 'invalid' });
  const keys = detachKeys(flags, context);
  parseDetachKeys(keys);
  const engine = await context.engine();
  const { options } = engine.get(names[0]!).config;
  const stdin = interactive && options.interactive;
  checkTerminal(context, { stdin, tty: options.tty });
  const attach = { stdin, stdout: true, stderr: true };
  const attachment = (await engine.start(names[0]!, { attach, consoleSize: consoleSize(context), ...how }))!;
  return (await runSession(attachment, context, { ...attach, tty: options.tty, detachKeys: keys, signals: true })) ?? 0;
}

/** @returns Docker's last line, which follows one line of explanation per container */
const notStarted = (names: readonly string[]): HuskError =>
  new HuskError(`failed to start containers: ${names.join(', ')}`, { kind: 'start-failed' });

async function startRestartable(flags: FlagSet, context: Context): Promise<number> {
  if (flags.bool('attach') || flags.bool('interactive'))
    throw new HuskError('conflicting options: cannot attach with --all-restartable', { kind: 'invalid' });
  const engine = await context.engine();
  let code = 0;
  for (const rank of engine.restartable()) code = (await forEach(rank, context, (name) => engine.start(name))) || code;
  return code;
}
