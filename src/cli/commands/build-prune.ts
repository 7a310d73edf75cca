/** `husk builder prune` */
import type { CacheLimits } from '../../images/store/contract.ts';
import { collectFilters } from '../../notation/filters.ts';
import { cacheFilter, freed, isOfRows } from '../build-cache.ts';
import { confirm } from '../confirm.ts';
import type { Invocation } from '../grammar/command.ts';
import { table } from '../output/table.ts';
import { humanSize } from '../output/units.ts';

export async function run({ flags, context }: Invocation): Promise<number> {
  const asked = collectFilters(flags.items<[string, string]>('filter'));
  const filters = cacheFilter(asked, context.now());
  const all = flags.bool('all');
  const what = all ? 'all build cache' : 'build cache that no image has';
  if (!flags.bool('force') && !(await confirm(`WARNING! This will remove ${what}.`, context))) return 0;
  const engine = await context.engine();
  const limits: CacheLimits = {
    reserved: flags.number('reserved-space') ?? flags.number('keep-storage'),
    maxUsed: flags.number('max-used-space'),
    minFree: flags.number('min-free-space'),
  };
  const gone = await engine.images.pruneBuildCache({
    usedBefore: filters.usedBefore,
    limits,
    filter: (row) => (all || !row.shared) && filters.matches(row),
  });
  // No filter but that of time is about the caches of mounts, and what is to be kept are layers.
  const others = isOfRows(asked) || Object.values(limits).some((bytes) => bytes !== undefined);
  const mounts = others ? 0 : await engine.pruneCacheMounts(filters.usedBefore);
  if (gone.length > 0)
    context.stdout.write(
      table([
        ['ID', 'RECLAIMABLE', 'SIZE', 'LAST ACCESSED'],
        ...gone.map((row) => [row.key.slice(0, 12), 'true', humanSize(row.size), '']),
      ]),
    );
  context.stdout.write(`Total:\t${humanSize(freed(gone) + mounts)}\n`);
  return 0;
}
