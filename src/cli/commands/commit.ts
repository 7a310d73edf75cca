/** `husk commit` */
import type { Invocation } from '../grammar/command.ts';
import { printable } from '../output/printable.ts';

export async function run({ flags, arguments: [name = '', reference], context }: Invocation): Promise<number> {
  const engine = await context.engine();
  const { id, warnings } = await engine.commit(name, {
    reference,
    author: flags.optional('author'),
    message: flags.optional('message'),
    changes: flags.list('change'),
    pause: flags.bool('pause'),
  });
  for (const warning of warnings)
    context.stderr.write(printable(`husk: ${warning}\n`, context.stderr, { lines: true }));
  context.stdout.write(`${id}\n`);
  return 0;
}
