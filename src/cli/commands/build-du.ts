/** `husk builder du` */
import { collectFilters } from '../../notation/filters.ts';
import type { Invocation } from '../grammar/command.ts';
import { printable } from '../output/printable.ts';
import { ellipsis, table } from '../output/table.ts';
import { humanSize } from '../output/units.ts';
import { ago } from '../../notation/elapsed.ts';
import { cacheFilter, freed, isOfRows } from '../build-cache.ts';

/** characters of a step in the table, where it goes to no terminal */
const STEP = 60;
/** columns of a terminal that a step has at least: another column is left out where it would have less */
const LEAST_STEP = 16;
const TITLES = ['ID', 'RECLAIMABLE', 'SIZE', 'LAST ACCESSED', 'USES', 'STEP'];
const USES = TITLES.indexOf('USES');

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
    printable(row.step, context.stdout),
  ]);
  const folders = mounts.map(({ name, inUse, size, lastUsed }) => [
    verbose ? name : name.slice(0, 12),
    String(!inUse),
    humanSize(size),
    ago(lastUsed, now),
    '',
    'cache mount',
  ]);
  const lines = [TITLES, ...shown, ...folders];
  context.stdout.write(table(verbose ? lines : fitted(lines, context.stdout)));
  const sum = (sizes: readonly number[]): number => sizes.reduce((total, size) => total + size, 0);
  const free = freed(rows) + sum(mounts.filter(({ inUse }) => !inUse).map(({ size }) => size));
  // A layer of several rows is there once.
  const layers = new Map(rows.map(({ diffId, size }) => [diffId, size]));
  const total = sum([...layers.values(), ...mounts.map(({ size }) => size)]);
  context.stdout.write(`Reclaimable:\t${humanSize(free)}\nTotal:\t\t${humanSize(total)}\n`);
  return 0;
}

/**
 * @returns the rows in one line each: steps are cut, and a narrow terminal has them instead of how often they were used
 */
function fitted(rows: readonly string[][], { isTTY, columns }: Invocation['context']['stdout']): string[][] {
  if (!isTTY || columns === undefined) return rows.map((row) => withStep(row, STEP));
  /** the columns before the step, as table() gives each of them its width */
  const taken = (of: readonly string[][]): number => table(of.map((row) => [...row.slice(0, -1), '|'])).indexOf('|');
  const all = columns - taken(rows);
  if (all >= LEAST_STEP) return rows.map((row) => withStep(row, all));
  const fewer = rows.map((row) => row.filter((_cell, column) => column !== USES));
  const room = Math.max(columns - taken(fewer), LEAST_STEP);
  return fewer.map((row) => withStep(row, room));
}

const withStep = (row: readonly string[], room: number): string[] => [...row.slice(0, -1), ellipsis(row.at(-1)!, room)];
