/** `husk kill` */
import type { Invocation } from '../grammar/command.ts';
import { forEach } from '../each.ts';

export async function run({ flags, arguments: names, context }: Invocation): Promise<number> {
  const engine = await context.engine();
  return forEach(names, context, (name) => engine.kill(name, flags.optional('signal') ?? 'KILL'));
}
