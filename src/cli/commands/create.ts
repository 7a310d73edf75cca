/** `husk create` */
import type { Invocation } from '../grammar/command.ts';
import { createContainer } from '../create-container.ts';
import { proxyEnvironment } from '../proxy-environment.ts';
import { createOptions } from '../grammar/create-options.ts';

export async function run({ flags, arguments: words, context }: Invocation): Promise<number> {
  const options = createOptions(flags, words, {
    env: context.env,
    added: (asked) => proxyEnvironment(asked, context),
    get workdir() {
      return process.cwd();
    },
  });
  const cidfile = flags.optional('cidfile');
  const id = await createContainer(await context.engine(), options, { context, quiet: flags.bool('quiet'), cidfile });
  context.stdout.write(`${id}\n`);
  return 0;
}
