/** `husk volume rm` */
import type { Invocation } from '../grammar/command.ts';
import { forEach } from '../each.ts';

export async function run({ flags, arguments: names, context }: Invocation): Promise<number> {
  const volumes = await (await context.engine()).volumes();
  return forEach(names, context, (name) => volumes.remove(name, { force: flags.bool('force') }));
}
