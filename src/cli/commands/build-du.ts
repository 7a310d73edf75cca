/** `husk builder du` */
import { collectFilters } from '../../notation/filters.ts';
import type { Invocation } from '../grammar/command.ts';
import { printable } from '../output/printable.ts';
import { table } from '../output/table.ts';
import { humanSize } from '../output/units.ts';
import { ago } from '../../notation/elapsed.ts';
import { cacheFilter, freed, isOfRows } from '../build-cache.ts';

/** characters of a step in the table */
const STEP = 60;

export async function run({ flags, context }: Invocation): Promise<number> {
  const now = context.now();
  const asked = collectFilters(flags.items<[string, string]>('filter'));
  const { usedBefore = Number.POSITIVE_INFINITY, matches } = cacheFilter(asked, now);
  const engine = await context.engine();
  const rows = (await engine.images.buildCache()).filter((row) => row.lastUsed < usedBefore && matches(row));
  // No filter but that of time is about the caches of mounts.
  const mounts = isOfRows(asked) ? [] : (await engine.cacheMounts()).filter(({ lastUsed }) => lastUsed < usedBefore);
  const verbose = flags.bool('verbose');
  const shown = rows.map((row) => [
    verbose ? row.key : row.key.slice(0, 12),
    String(!row.shared),
    humanSize(row.size),
    ago(row.lastUsed, now),
    String(row.uses),
    printable(verbose ? row.step : row.step.slice(0, STEP), context.stdout),
  ]);
  const folders = mounts.map(({ name, inUse, size, lastUsed }) => [
    verbose ? name : name.slice(0, 12),
    String(!inUse),
    humanSize(size),
    ago(lastUsed, now),
    '',
    'cache mount',
  ]);
  context.stdout.write(table([['ID', 'RECLAIMABLE', 'SIZE', 'LAST ACCESSED', 'USES', 'STEP'], ...shown, ...folders]));
  const sum = (sizes: readonly number[]): number => sizes.reduce((total, size) => total + size, 0);
  const free = freed(rows) + sum(mounts.filter(({ inUse }) => !inUse).map(({ size }) => size));
  // A layer of several rows is there once.
  const layers = new Map(rows.map(({ diffId, size }) => [diffId, size]));
  const total = sum([...layers.values(), ...mounts.map(({ size }) => size)]);
  context.stdout.write(`Reclaimable:\t${humanSize(free)}\nTotal:\t\t${humanSize(total)}\n`);
  return 0;
}
