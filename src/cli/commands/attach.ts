/** `husk attach` */
import { detachKeys } from '../client-config.ts';
import type { Invocation } from '../grammar/command.ts';
import { parseDetachKeys } from '../../notation/detach-keys.ts';
import { checkTerminal, consoleSize, runSession } from '../session.ts';

export async function run({ flags, arguments: [name = ''], context }: Invocation): Promise<number> {
  const keys = detachKeys(flags, context);
  parseDetachKeys(keys);
  const engine = await context.engine();
  const { options } = engine.get(name).config;
  const stdin = options.interactive && !flags.bool('no-stdin');
  checkTerminal(context, { stdin, tty: options.tty });
  const size = options.tty ? consoleSize(context) : undefined;
  // The size is one larger than the terminal's until the session sends the true one: a shell whose terminal changes
  // draws its prompt again (docker/cli does the same).
  const attachment = await engine.attach(name, {
    stdin,
    consoleSize: size && { columns: size.columns + 1, rows: size.rows + 1 },
  });
  return (
    (await runSession(attachment, context, {
      stdin,
      stdout: true,
      stderr: true,
      tty: options.tty,
      detachKeys: keys,
      signals: flags.bool('sig-proxy'),
    })) ?? 0
  );
}
