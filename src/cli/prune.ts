/** What `container prune`, `volume prune`, `image prune` and `system prune` do and print, each kind once. */
import type { Engine, Filters } from '../engine/contract.ts';
import type { Context } from './grammar/command.ts';
import { parseMomentMs } from '../notation/moments.ts';
import { imageFilter } from './image-filters.ts';
import { printable } from './output/printable.ts';

export interface PruneRequest {
  filters: Filters;
  /** images with a name, volumes with a name */
  all: boolean;
  context: Context;
}

/** @returns bytes freed, as each of these does */
export async function pruneContainers(engine: Engine, { filters, context }: PruneRequest): Promise<number> {
  // the person's zone and clock decide what "until" means
  const until = filters['until']?.map((value) => String(parseMomentMs(value, context.now()) / 1000));
  const { deleted, reclaimed } = await engine.prune({ filters: until ? { ...filters, until } : filters });
  tell('Containers', deleted, context);
  return reclaimed;
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

function tell(what: string, lines: readonly string[], { stdout }: Context): void {
  if (lines.length > 0)
    stdout.write(`Deleted ${what}:\n${lines.map((line) => `${printable(line, stdout)}\n`).join('')}\n`);
}
