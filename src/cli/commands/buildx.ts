/** `husk buildx WORD` for the words that are no command of husk: Docker's own buildx, as a client of husk. */
import type { Invocation } from '../grammar/command.ts';
import { runPlugin } from '../plugins/run.ts';

export const run = ({ arguments: words, context }: Invocation): Promise<number> =>
  runPlugin({ name: 'buildx', program: 'docker-buildx', package: 'docker-buildx', words }, context);
