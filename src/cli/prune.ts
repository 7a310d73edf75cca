/**
 * What `container prune`, `network prune`, `volume prune`, `image prune` and `system prune` do and print, one function
 * for each kind.
 */
import type { Engine, Filters } from '../engine/contract.ts';
import type { Context } from './grammar/command.ts';
import { parseMomentMs } from '../notation/moments.ts';
import { freed } from './build-cache.ts';
import { imageFilter } from '../images/store/image-filters.ts';
import { printable } from './output/printable.ts';

export interface PruneRequest {
  filters: Filters;
  /** whether images and volumes with a name are removed too */
  all: boolean;
  context: Context;
}

/** @returns bytes that were freed, as do the functions for volumes and images */
export async function pruneContainers(engine: Engine, { filters, context }: PruneRequest): Promise<number> {
  // "until" is read with the user's zone and clock.
  const until = filters['until']?.map((value) => String(parseMomentMs(value, context.now()) / 1000));
  const { deleted, reclaimed } = await engine.prune({ filters: until ? { ...filters, until } : filters });
  tell('Containers', deleted, context);
  return reclaimed;
}

/** Networks take no space, so this returns nothing. */
export async function pruneNetworks(engine: Engine, { filters, context }: Omit<PruneRequest, 'all'>): Promise<void> {
  const until = filters['until']?.map((value) => String(parseMomentMs(value, context.now()) / 1000));
  tell('Networks', (await engine.networks()).prune(until ? { ...filters, until } : filters), context);
}

export async function pruneVolumes(engine: Engine, { filters, all, context }: PruneRequest): Promise<number> {
  const { deleted, reclaimed } = await (await engine.volumes()).prune({ all, filters });
  tell('Volumes', deleted, context);
  return reclaimed;
}

export async function pruneImages(engine: Engine, { filters, all, context }: PruneRequest): Promise<number> {
  const { deleted, untagged, reclaimed } = engine.images.prune({
    all,
    inUse: (id) => engine.imageUsers(id).length > 0,
    filters: imageFilter(filters, {
      now: context.now(),
      find: (reference) => engine.images.get(reference),
      pruning: true,
    }),
  });
  tell('Images', [...untagged.map((name) => `untagged: ${name}`), ...deleted.map((id) => `deleted: ${id}`)], context);
  return reclaimed;
}

/** The build cache has no labels: a filter of labels finds nothing in it. */
export async function pruneBuilds(engine: Engine, { filters, all, context }: PruneRequest): Promise<number> {
  if (filters['label'] !== undefined || filters['label!'] !== undefined) return 0;
  const until = filters['until']?.map((value) => parseMomentMs(value, context.now()));
  const usedBefore = until && Math.min(...until);
  const gone = await engine.images.pruneBuildCache({
    ...(usedBefore !== undefined && { usedBefore }),
    filter: ({ shared }) => all || !shared,
  });
  const mounts = await engine.pruneCacheMounts(usedBefore);
  tell(
    'build cache objects',
    gone.map(({ key }) => key),
    context,
  );
  return freed(gone) + mounts;
}

/**
 * They have no labels, and no names that a person gave; nor has what forks left that were killed. @returns bytes that
 * were freed
 */
export async function pruneTemplates(engine: Engine, { filters, context }: PruneRequest): Promise<number> {
  if (Object.keys(filters).length > 0) return 0;
  const gone = await engine.pruneTemplates();
  tell(
    'VM templates',
    gone.map(({ key }) => key),
    context,
  );
  return gone.reduce((sum, { size }) => sum + size, 0) + (await engine.pruneSaved());
}

function tell(what: string, lines: readonly string[], { stdout }: Context): void {
  if (lines.length > 0)
    stdout.write(`Deleted ${what}:\n${lines.map((line) => `${printable(line, stdout)}\n`).join('')}\n`);
}
