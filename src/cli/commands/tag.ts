/** `husk tag` */
import type { Invocation } from '../grammar/command.ts';

export async function run({ arguments: [source = '', target = ''], context }: Invocation): Promise<number> {
  (await context.engine()).images.tag(source, target);
  return 0;
}
