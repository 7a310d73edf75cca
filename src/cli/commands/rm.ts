/** `husk rm` */
import { HuskError } from '../../errors.ts';
import type { Invocation } from '../grammar/command.ts';
import { forEach } from '../each.ts';

export async function run({ flags, arguments: names, context }: Invocation): Promise<number> {
  if (flags.bool('link'))
    throw new HuskError('--link: links between containers are not there yet in this husk', { kind: 'unsupported' });
  const force = flags.bool('force');
  const engine = await context.engine();
  return forEach(
    names,
    context,
    (name) => engine.remove(name.replace(/^\//, ''), { force, volumes: flags.bool('volumes') }),
    {
      // `rm -f` of a container that is not there has reached its goal: Docker's client reports it and succeeds.
      forgive: (error) => force && error instanceof HuskError && error.kind === 'not-found',
    },
  );
}
