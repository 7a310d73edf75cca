/** `husk manifest push` */
import type { Invocation } from '../grammar/command.ts';
import { abortOnInterrupt } from '../interrupt.ts';
import { printable } from '../output/printable.ts';

export async function run({ flags, arguments: [list = ''], context }: Invocation): Promise<number> {
  const { images } = await context.engine();
  using abort = abortOnInterrupt('the push was interrupted');
  const digest = await (
    await images.manifestLists()
  ).push(list, {
    insecure: flags.bool('insecure'),
    purge: flags.bool('purge'),
    signal: abort.signal,
    onPushed: (reference, pushed) =>
      context.stdout.write(`Pushed ref ${printable(reference, context.stdout)} with digest: ${pushed}\n`),
  });
  context.stdout.write(`${digest}\n`);
  return 0;
}
