/** `husk checkpoint create` */
import { checkpointFolder } from '../checkpoint-folder.ts';
import type { Invocation } from '../grammar/command.ts';

export async function run({ flags, arguments: [container = '', name = ''], context }: Invocation): Promise<number> {
  const engine = await context.engine();
  await engine.createCheckpoint(container, name, {
    leaveRunning: flags.bool('leave-running'),
    directory: checkpointFolder(flags),
  });
  context.stdout.write(`${name}\n`);
  return 0;
}
