/** `husk create` */
import { existsSync } from 'node:fs';
import { HuskError } from '../../errors.ts';
import type { Invocation } from '../command.ts';
import { createContainer } from '../create-container.ts';
import { createOptions } from '../grammar/create-options.ts';

export async function run({ flags, arguments: words, context }: Invocation): Promise<number> {
  const options = createOptions(flags, words, { env: context.env, workdir: process.cwd() });
  const cidfile = flags.optional('cidfile');
  if (cidfile !== undefined && existsSync(cidfile)) throw new HuskError(`container ID file found, make sure the other container isn't running or delete ${cidfile}`, { kind: 'conflict', exitCode: 125 });
  const id = await createContainer(await context.engine(), options, { context, quiet: flags.bool('quiet'), cidfile });
  context.stdout.write(`${id}\n`);
  return 0;
}
