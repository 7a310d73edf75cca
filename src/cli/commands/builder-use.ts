/** `husk builder use`, `husk buildx use`: the builder there is is in use already. */
import { checkBuilder } from '../builder.ts';
import type { Invocation } from '../grammar/command.ts';

export async function run({ arguments: [name = ''] }: Invocation): Promise<number> {
  checkBuilder(name);
  return 0;
}
