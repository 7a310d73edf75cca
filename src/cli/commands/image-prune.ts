/** `husk image prune` */
import type { Invocation } from '../grammar/command.ts';
import { confirm } from '../confirm.ts';
import { humanSize } from '../output/units.ts';
import { pruneImages } from '../prune.ts';
import { collectFilters } from '../../notation/filters.ts';

export async function run({ flags, context }: Invocation): Promise<number> {
  const all = flags.bool('all');
  const filters = collectFilters(flags.items<[string, string]>('filter'));
  const what = all ? 'images without at least one container associated to them' : 'dangling images';
  if (!flags.bool('force') && !(await confirm(`WARNING! This will remove all ${what}.`, context))) return 0;
  const reclaimed = await pruneImages(await context.engine(), { filters, all, context });
  context.stdout.write(`Total reclaimed space: ${humanSize(reclaimed)}\n`);
  return 0;
}
