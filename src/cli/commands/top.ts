/** `husk top` */
import type { Invocation } from '../grammar/command.ts';
import { printable } from '../output/printable.ts';
import { table } from '../output/table.ts';

/** least width in characters of a cell, as in docker/cli's top */
const MINIMUM_WIDTH = 20;

export async function run({ arguments: [name = '', ...psArguments], context }: Invocation): Promise<number> {
  const { titles, processes } = await (await context.engine()).top(name, psArguments);
  context.stdout.write(
    table(
      [titles, ...processes].map((row) => row.map((cell) => printable(cell, context.stdout))),
      { minimum: MINIMUM_WIDTH },
    ),
  );
  return 0;
}
