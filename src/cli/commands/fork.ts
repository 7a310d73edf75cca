/** `husk fork`: prints the id of each copy as soon as it runs. */
import { HuskError } from '../../errors.ts';
import type { Invocation } from '../grammar/command.ts';
import { warner } from '../output/warn.ts';

export async function run({ flags, arguments: [container = ''], context }: Invocation): Promise<number> {
  const count = flags.number('count') ?? 1;
  if (count < 1)
    throw new HuskError(`invalid value "${count}" for --count: at least one copy is made`, { kind: 'invalid' });
  const name = flags.string('name');
  const engine = await context.engine();
  await engine.fork(container, {
    count,
    ...(name !== undefined && name !== '' && { name }),
    onCopy: (id) => context.stdout.write(`${id}\n`),
    onWarning: warner(context),
  });
  return 0;
}
