/** `husk volume prune` */
import { HuskError } from '../../errors.ts';
import type { Invocation } from '../grammar/command.ts';
import { confirm } from '../confirm.ts';
import { humanSize } from '../output/units.ts';
import { pruneVolumes } from '../prune.ts';
import { collectFilters } from '../../notation/filters.ts';

export async function run({ flags, context }: Invocation): Promise<number> {
  const all = flags.bool('all');
  const filters = collectFilters(flags.items<[string, string]>('filter'));
  if (all && filters['all'] !== undefined)
    throw new HuskError(`conflicting options: cannot specify both --all and --filter all=${filters['all'][0]}`, {
      kind: 'invalid',
      exitCode: 1,
    });
  const warning = `WARNING! This will remove ${all ? 'all' : 'anonymous'} local volumes not used by at least one container.`;
  if (!flags.bool('force') && !(await confirm(warning, context))) return 0;
  const reclaimed = await pruneVolumes(await context.engine(), { filters, all, context });
  context.stdout.write(`Total reclaimed space: ${humanSize(reclaimed)}\n`);
  return 0;
}
