/** `husk manifest create` */
import type { Invocation } from '../grammar/command.ts';
import { abortOnInterrupt } from '../interrupt.ts';
import { printable } from '../output/printable.ts';

export async function run({ flags, arguments: [list = '', ...manifests], context }: Invocation): Promise<number> {
  const { images } = await context.engine();
  using abort = abortOnInterrupt('the list was not made: interrupted');
  const lists = await images.manifestLists();
  const name = await lists.create(list, manifests, {
    amend: flags.bool('amend'),
    insecure: flags.bool('insecure'),
    signal: abort.signal,
  });
  context.stdout.write(`Created manifest list ${printable(name, context.stdout)}\n`);
  return 0;
}
