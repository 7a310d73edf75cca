/** `husk pause` */
import type { Invocation } from '../grammar/command.ts';
import { forEach } from '../each.ts';

export async function run({ arguments: names, flags, context }: Invocation): Promise<number> {
  const engine = await context.engine();
  return forEach(names, context, (name) => engine.pause(name, { swapOut: flags.bool('swap-out') }));
}
