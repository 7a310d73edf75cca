/** `husk volume prune` */
import type { Invocation } from '../command.ts';
import { confirm } from '../confirm.ts';
import { collectFilters } from '../grammar/values.ts';
import { humanSize } from '../output/units.ts';

export async function run({ flags, context }: Invocation): Promise<number> {
  const all = flags.bool('all');
  const filters = collectFilters(flags.items<[string, string]>('filter'));
  const warning = `WARNING! This will remove ${all ? 'all' : 'anonymous'} local volumes not used by at least one container.`;
  if (!flags.bool('force') && !(await confirm(warning, context))) return 0;
  const { deleted, reclaimed } = await (await (await context.engine()).volumes()).prune({ all, filters });
  if (deleted.length > 0) context.stdout.write(`Deleted Volumes:\n${deleted.map((name) => `${name}\n`).join('')}\n`);
  context.stdout.write(`Total reclaimed space: ${humanSize(reclaimed)}\n`);
  return 0;
}
