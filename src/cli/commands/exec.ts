/** `husk exec` */
import { HuskError } from '../../errors.ts';
import { detachKeys } from '../client-config.ts';
import type { Invocation } from '../grammar/command.ts';
import { parseDetachKeys } from '../../notation/detach-keys.ts';
import { readLines } from '../grammar/env-file.ts';
import { checkTerminal, consoleSize, runSession } from '../session.ts';

/** Starts the command. A detached one has no exit code of its own to report, so Docker exits as for any error then. */
async function started<T>(start: () => Promise<T>, { detach }: { detach: boolean }): Promise<T> {
  try {
    return await start();
  } catch (error) {
    if (!detach || !(error instanceof HuskError) || error.kind !== 'start-failed') throw error;
    throw error.withExitCode(1);
  }
}

export async function run({ flags, arguments: [name = '', ...command], context }: Invocation): Promise<number> {
  const keys = detachKeys(flags, context);
  parseDetachKeys(keys);
  const detach = flags.bool('detach');
  const tty = flags.bool('tty');
  const interactive = flags.bool('interactive') && !detach;
  if (command[0] === '') throw new HuskError('exec: the command is empty', { kind: 'invalid' });
  checkTerminal(context, { stdin: interactive, tty: tty && !detach });
  const engine = await context.engine();
  const attachment = await started(
    () =>
      engine.exec(name, {
        command,
        interactive,
        tty,
        detach,
        env: [
          ...flags.list('env-file').flatMap((file) => readLines(file, { env: context.env, what: 'env' })),
          ...flags.list('env'),
        ],
        user: flags.optional('user'),
        workdir: flags.optional('workdir'),
        privileged: flags.bool('privileged'),
        consoleSize: tty ? consoleSize(context) : undefined,
      }),
    { detach },
  );
  if (!attachment) return 0;
  // Docker's exec forwards no signals; without a terminal Ctrl-C ends only the client.
  return (
    (await runSession(attachment, context, {
      stdin: interactive,
      stdout: true,
      stderr: true,
      tty,
      detachKeys: keys,
      signals: false,
    })) ?? 0
  );
}
