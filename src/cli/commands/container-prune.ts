/** `husk container prune` */
import type { Invocation } from '../command.ts';
import { confirm } from '../confirm.ts';
import { collectFilters } from '../grammar/values.ts';
import { humanSize } from '../output/units.ts';

export async function run({ flags, context }: Invocation): Promise<number> {
  const filters = collectFilters(flags.items<[string, string]>('filter'));
  if (!flags.bool('force') && !(await confirm('WARNING! This will remove all stopped containers.', context))) return 0;
  const { deleted, reclaimed } = await (await context.engine()).prune({ filters });
  if (deleted.length > 0) context.stdout.write(`Deleted Containers:\n${deleted.map((id) => `${id}\n`).join('')}\n`);
  context.stdout.write(`Total reclaimed space: ${humanSize(reclaimed)}\n`);
  return 0;
}
