/** `husk help [COMMAND]` */
import { HuskError } from '../../errors.ts';
import type { Invocation } from '../grammar/command.ts';
import { commandHelp, rootHelp } from '../help.ts';
import { findCommand } from '../table/table.ts';

export async function run({ arguments: words, context }: Invocation): Promise<number> {
  const width = context.stdout.isTTY ? context.stdout.columns : undefined;
  if (words.length === 0) {
    context.stdout.write(rootHelp(width));
    return 0;
  }
  const command = findCommand(words);
  if (!command) throw new HuskError(`unknown help topic: ${words.join(' ')}`, { kind: 'not-found' });
  context.stdout.write(commandHelp(command, `husk ${words.join(' ')}`, width));
  return 0;
}
