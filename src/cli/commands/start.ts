/** `husk start`, with -a and -i for one container. */
import { HuskError } from '../../errors.ts';
import { detachKeys } from '../client-config.ts';
import type { Context, Invocation } from '../grammar/command.ts';
import { forEach } from '../each.ts';
import type { FlagSet } from '../grammar/flag-set.ts';
import { parseDetachKeys } from '../grammar/detach-keys.ts';
import { checkTerminal, consoleSize, runSession } from '../session.ts';

export async function run({ flags, arguments: names, context }: Invocation): Promise<number> {
  if (flags.bool('all-restartable')) return startRestartable(flags, context);
  const interactive = flags.bool('interactive');
  if (!flags.bool('attach') && !interactive) {
    const engine = await context.engine();
    return forEach(names, context, (name) => engine.start(name));
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
  const attachment = (await engine.start(names[0]!, { attach, consoleSize: consoleSize(context) }))!;
  return (await runSession(attachment, context, { ...attach, tty: options.tty, detachKeys: keys, signals: true })) ?? 0;
}

async function startRestartable(flags: FlagSet, context: Context): Promise<number> {
  if (flags.bool('attach') || flags.bool('interactive'))
    throw new HuskError('conflicting options: cannot attach with --all-restartable', { kind: 'invalid' });
  const engine = await context.engine();
  let code = 0;
  for (const rank of engine.restartable()) code = (await forEach(rank, context, (name) => engine.start(name))) || code;
  return code;
}
