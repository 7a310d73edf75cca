/** `husk network disconnect` */
import type { Invocation } from '../grammar/command.ts';

export async function run({ flags, arguments: [network = '', container = ''], context }: Invocation): Promise<number> {
  await (await context.engine()).disconnect(network, container, { force: flags.bool('force') });
  return 0;
}
