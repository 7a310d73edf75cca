/** `ps`: containers as they really are, filtered. */
import { NetworkRecords } from '../../network/records/records.ts';
import type { EngineContext } from '../record/context.ts';
import type { Container, ContainerSize, Engine } from '../contract.ts';
import { isRunning } from '../record/supervisor-link.ts';
import { containerFilter } from '../record/filters.ts';
import { isStale, resolve, resolveAll, resolveRunning, truth } from '../record/reconcile.ts';

type ListOptions = NonNullable<Parameters<Engine['list']>[0]>;

export function list(context: EngineContext, options: ListOptions = {}): Container[] {
  const filters = options.filters ?? {};
  let known: ReturnType<NetworkRecords['namesByContainer']> | undefined;
  const networksOf = ({ id }: Container) =>
    (known ??= new NetworkRecords(context.database).namesByContainer()).get(id) ?? [];
  const matches = containerFilter(filters, {
    find: (value) => resolve(context, value),
    ancestors: (value) => descendants(context, value),
    networks: networksOf,
  });
  // a filter by state means stopped ones as well, as does asking for the last ones
  const all =
    options.all || options.last !== undefined || Object.hasOwn(filters, 'status') || Object.hasOwn(filters, 'exited');
  const found = (all ? resolveAll(context) : resolveRunning(context)).filter(
    (container) => (all || ['running', 'paused', 'restarting'].includes(container.state.status)) && matches(container),
  );
  const shown = options.last === undefined || options.last < 0 ? found : found.slice(0, options.last);
  return shown.map((container) => ({
    ...container,
    networks: networksOf(container).map(({ name }) => name),
  }));
}

/**
 * Asked before a removal, and within its transaction once more: there a record that is stale can be read, but not
 * mended.
 */
export function imageUsers(context: EngineContext, imageId: string): { id: string; running: boolean }[] {
  const records = context.store.ofImage(imageId);
  const found = context.database.isTransaction ? records : records.flatMap((record) => truth(context, record) ?? []);
  return found.map((container) => ({ id: container.id, running: isRunning(container) && !isStale(container.state) }));
}

/** Docker's two figures: the writable layer, and that with the image below it, in bytes. */
export async function sizeOf(context: EngineContext, container: Container): Promise<ContainerSize> {
  const rw = await writtenBytes(context, container);
  return { rw, rootFs: rw + (context.images.find(container.imageId)?.size ?? 0) };
}

/** A VM's disk is measured by its machine alone: now while it runs, else what it said last. */
async function writtenBytes(context: EngineContext, container: Container): Promise<number> {
  if (container.config.isolation !== 'vm') return context.writableSize(container.id);
  if (container.state.status !== 'running' && container.state.status !== 'paused')
    return container.state.writtenBytes ?? 0;
  const { withFiles } = await import('../files/container-files.ts');
  return withFiles(context, container, (files) => files.size());
}

/** The image and every one built on it: those whose layers begin with its own. */
function descendants(context: EngineContext, reference: string): ReadonlySet<string> {
  const base = context.images.find(reference);
  if (!base) return new Set();
  const layers = base.config.rootfs.diff_ids;
  return new Set(
    context.images
      .list()
      .flatMap((image) =>
        layers.every((layer, index) => image.config.rootfs.diff_ids[index] === layer) ? [image.id] : [],
      ),
  );
}
