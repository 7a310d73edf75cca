/** `husk volume create` */
import { HuskError } from '../../errors.ts';
import type { Invocation } from '../grammar/command.ts';
import { toMap } from '../../notation/labels.ts';

export async function run({ flags, arguments: [operand], context }: Invocation): Promise<number> {
  const named = flags.string('name');
  if (named !== '' && operand !== undefined)
    throw new HuskError(
      'conflicting options: cannot specify a volume-name through both --name and as a positional arg',
      {
        kind: 'invalid',
        fix: 'leave out --name',
      },
    );
  const name = named === '' ? operand : named;
  const volumes = await (await context.engine()).volumes();
  const volume = volumes.create({
    name,
    driver: flags.string('driver'),
    labels: toMap(flags.list('label')),
    options: toMap(flags.list('opt')),
  });
  context.stdout.write(`${volume.name}\n`);
  return 0;
}
