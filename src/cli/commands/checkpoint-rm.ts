/** `husk checkpoint rm` */
import { checkpointFolder } from '../checkpoint-folder.ts';
import type { Invocation } from '../grammar/command.ts';

export async function run({ flags, arguments: [container = '', name = ''], context }: Invocation): Promise<number> {
  const engine = await context.engine();
  await engine.removeCheckpoint(container, name, { directory: checkpointFolder(flags) });
  return 0;
}
