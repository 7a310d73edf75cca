/** `system df`: what images, containers and volumes take on disk, and which of it nothing uses. Measures only. */
import type { EngineContext } from '../record/context.ts';
import type { DiskUsage } from '../contract.ts';
import { isRunning } from '../record/supervisor-link.ts';
import { sizeOf } from './list.ts';
import { resolveAll } from '../record/reconcile.ts';
import { listTemplates } from '../../vmm/templates/folder.ts';

/** trees measured at a time: each may need a process in the user namespace */
const PARALLEL = 4;

export async function diskUsage(context: EngineContext): Promise<DiskUsage> {
  const containers = resolveAll(context);
  const images = context.images.list();
  const volumes = await context.volumes();
  // a layer of several images is there once
  const layers = new Map<string, { size: number; images: number }>();
  for (const image of images) {
    for (const { diffId, size } of new Map(image.layers.map((layer) => [layer.diffId, layer])).values())
      layers.set(diffId, { size, images: (layers.get(diffId)?.images ?? 0) + 1 });
  }
  return {
    layersSize: [...layers.values()].reduce((sum, { size }) => sum + size, 0),
    images: images.map((image) => ({
      image,
      containers: context.store.ofImage(image.id).length,
      sharedSize: image.layers.reduce((sum, { diffId, size }) => sum + (layers.get(diffId)!.images > 1 ? size : 0), 0),
    })),
    containers: await inTurn(containers, async (container) => ({
      ...container,
      active: isRunning(container),
      size: await sizeOf(context, container),
    })),
    volumes: await inTurn(volumes.list(), async (volume) => ({
      volume,
      links: context.store.usersOfVolume(volume.name).length,
      size: await volumes.size(volume.name),
    })),
    buildCache: await context.images.buildCache(),
    cacheMounts: await (await import('../build/cache-mounts.ts')).listCaches(context.paths),
    templates: listTemplates(context.paths.templates),
  };
}

async function inTurn<Item, Result>(
  items: readonly Item[],
  measure: (item: Item) => Promise<Result>,
): Promise<Result[]> {
  const results: Result[] = [];
  for (let start = 0; start < items.length; start += PARALLEL)
    results.push(...(await Promise.all(items.slice(start, start + PARALLEL).map(measure))));
  return results;
}
