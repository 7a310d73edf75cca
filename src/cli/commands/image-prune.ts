/** `husk image prune` */
import type { Invocation } from '../command.ts';
import { confirm } from '../confirm.ts';
import { collectFilters } from '../grammar/values.ts';
import { imageFilter } from '../image-filters.ts';
import { printable } from '../output/printable.ts';
import { humanSize } from '../output/units.ts';

export async function run({ flags, context }: Invocation): Promise<number> {
  const all = flags.bool('all');
  const filters = collectFilters(flags.items<[string, string]>('filter'));
  const what = all ? 'images without at least one container associated to them' : 'dangling images';
  if (!flags.bool('force') && !(await confirm(`WARNING! This will remove all ${what}.`, context))) return 0;
  const engine = await context.engine();
  const { deleted, untagged, reclaimed } = engine.images.prune({
    all,
    inUse: (id) => engine.imageUsers(id).length > 0,
    filters: imageFilter(filters, { now: context.now(), find: (reference) => engine.images.get(reference) }),
  });
  const lines = [...untagged.map((name) => `untagged: ${name}`), ...deleted.map((id) => `deleted: ${id}`)];
  if (lines.length > 0) context.stdout.write(`Deleted Images:\n${lines.map((line) => `${printable(line, context.stdout)}\n`).join('')}\n`);
  context.stdout.write(`Total reclaimed space: ${humanSize(reclaimed)}\n`);
  return 0;
}
