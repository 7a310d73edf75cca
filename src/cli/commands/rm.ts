/** `husk rm` */
import { HuskError } from '../../errors.ts';
import type { Invocation } from '../command.ts';
import { forEach } from '../each.ts';

export async function run({ flags, arguments: names, context }: Invocation): Promise<number> {
  if (flags.bool('link')) throw new HuskError('--link: links between containers are not there yet in this husk', { kind: 'unsupported' });
  const force = flags.bool('force');
  const engine = await context.engine();
  return forEach(names, context, async (name) => {
    try {
      await engine.remove(name.replace(/^\//, ''), { force, volumes: flags.bool('volumes') });
    } catch (error) {
      // `rm -f` of what is not there has reached its goal, as in Docker's client, which still says so
      if (force && error instanceof HuskError && error.kind === 'not-found') throw new HuskError(error.message, { kind: 'not-found', exitCode: 1 });
      throw error;
    }
  });
}
