/** `husk compose`: Docker's own compose, as a client of husk. */
import type { Invocation } from '../grammar/command.ts';
import { runPlugin } from '../plugins/run.ts';

export const run = ({ arguments: words, context }: Invocation): Promise<number> =>
  runPlugin({ name: 'compose', program: 'docker-compose', package: 'docker-compose', words }, context);
