/** `husk buildx version`: scripts look for a `v` and digits in the line. */
import type { Invocation } from '../grammar/command.ts';
import { VERSION } from '../../version.ts';

export async function run({ context }: Invocation): Promise<number> {
  context.stdout.write(`husk v${VERSION}\n`);
  return 0;
}
