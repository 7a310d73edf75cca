/** `husk restart` */
import type { Invocation } from '../grammar/command.ts';
import { forEach } from '../each.ts';

export async function run({ flags, arguments: names, context }: Invocation): Promise<number> {
  const engine = await context.engine();
  const options = { timeout: flags.number('timeout'), signal: flags.optional('signal') };
  return forEach(names, context, (name) => engine.restart(name, options));
}
