/** `husk container prune` */
import type { Invocation } from '../grammar/command.ts';
import { confirm } from '../confirm.ts';
import { humanSize } from '../output/units.ts';
import { pruneContainers } from '../prune.ts';
import { collectFilters } from '../../notation/filters.ts';

export async function run({ flags, context }: Invocation): Promise<number> {
  const filters = collectFilters(flags.items<[string, string]>('filter'));
  if (!flags.bool('force') && !(await confirm('WARNING! This will remove all stopped containers.', context))) return 0;
  const reclaimed = await pruneContainers(await context.engine(), { filters, all: true, context });
  context.stdout.write(`Total reclaimed space: ${humanSize(reclaimed)}\n`);
  return 0;
}
