/** `husk network rm` */
import { HuskError } from '../../errors.ts';
import type { Invocation } from '../grammar/command.ts';
import { printable } from '../output/printable.ts';
import { report } from '../report.ts';

export async function run({ flags, arguments: names, context }: Invocation): Promise<number> {
  const networks = await (await context.engine()).networks();
  let code = 0;
  for (const name of names) {
    try {
      networks.remove(name);
      context.stdout.write(`${printable(name, context.stdout)}\n`);
    } catch (error) {
      // With --force a missing network is neither reported nor printed, because nothing has been removed.
      if (flags.bool('force') && error instanceof HuskError && error.kind === 'not-found') continue;
      report(error, context);
      code = 1;
    }
  }
  return code;
}
