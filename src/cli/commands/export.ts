/** `husk export` */
import { pipeline } from 'node:stream/promises';
import type { Invocation } from '../grammar/command.ts';
import { streamOf, writeArchive } from '../output/archive-output.ts';

export async function run({ flags, arguments: [name = ''], context }: Invocation): Promise<number> {
  const engine = await context.engine();
  await writeArchive(flags.optional('output'), context, async (output) =>
    pipeline(await engine.export(name), output, { end: output !== streamOf(context.stdout) }),
  );
  return 0;
}
