/** `husk network prune` */
import type { Invocation } from '../grammar/command.ts';
import { confirm } from '../confirm.ts';
import { pruneNetworks } from '../prune.ts';
import { collectFilters } from '../../notation/filters.ts';

const WARNING = 'WARNING! This will remove all custom networks not used by at least one container.';

export async function run({ flags, context }: Invocation): Promise<number> {
  const filters = collectFilters(flags.items<[string, string]>('filter'));
  if (!flags.bool('force') && !(await confirm(WARNING, context))) return 0;
  await pruneNetworks(await context.engine(), { filters, context });
  return 0;
}
