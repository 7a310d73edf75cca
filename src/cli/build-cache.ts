/** What the commands about the build cache have in common: its filters, and how much of it could be freed. */
import { HuskError } from '../errors.ts';
import type { CacheRow } from '../images/store/contract.ts';
import { parseMomentMs } from '../notation/moments.ts';
import { parseBool } from '../notation/scalars.ts';

/** Layers that images have stay, and one of several rows goes once. */
export const freed = (rows: readonly CacheRow[]): number =>
  [...new Map(rows.map(({ diffId, shared, size }) => [diffId, shared ? 0 : size])).values()].reduce(
    (sum, size) => sum + size,
    0,
  );

/**
 * @returns whether filters are about rows alone: caches of mounts have no id that anybody knows, and no image has one
 */
export const isOfRows = (filters: Record<string, string[]>): boolean => 'id' in filters || 'shared' in filters;

/** @throws HuskError `invalid` for a filter that is none */
export function cacheFilter(
  filters: Record<string, string[]>,
  now: number,
): { usedBefore: number | undefined; matches: (row: CacheRow) => boolean } {
  for (const key of Object.keys(filters))
    if (!['id', 'shared', 'until', 'unused-for'].includes(key))
      throw new HuskError(`invalid filter '${key}'`, { kind: 'invalid' });
  const until = [...(filters['until'] ?? []), ...(filters['unused-for'] ?? [])];
  const shared = filters['shared']?.map(parseBool);
  return {
    usedBefore: until.length === 0 ? undefined : Math.min(...until.map((text) => parseMomentMs(text, now))),
    matches: (row) =>
      (filters['id'] ?? ['']).some((id) => row.key.startsWith(id)) &&
      (shared === undefined || shared.includes(row.shared)),
  };
}
