/**
 * `husk system prune`: removes containers, networks, volumes, images and build cache that nothing uses, in an order in
 * which the removal of one frees the next.
 */
import { HuskError } from '../../errors.ts';
import type { Invocation } from '../grammar/command.ts';
import { confirm } from '../confirm.ts';
import { humanSize } from '../output/units.ts';
import { pruneBuilds, pruneContainers, pruneImages, pruneNetworks, pruneTemplates, pruneVolumes } from '../prune.ts';
import { collectFilters } from '../../notation/filters.ts';

const KNOWN = new Set(['label', 'label!', 'until']);

export async function run({ flags, context }: Invocation): Promise<number> {
  const all = flags.bool('all');
  const volumes = flags.bool('volumes');
  const pairs = flags.items<[string, string]>('filter');
  const filters = collectFilters(pairs);
  for (const key of Object.keys(filters))
    if (!KNOWN.has(key)) throw new HuskError(`invalid filter '${key}'`, { kind: 'invalid' });
  if (volumes && filters['until'] !== undefined)
    throw new HuskError('the "until" filter is not supported with "--volumes"', { kind: 'invalid' });
  if (!flags.bool('force') && !(await confirm(warning({ all, volumes, pairs }), context))) return 0;
  const engine = await context.engine();
  const request = { filters, all, context };
  let reclaimed = await pruneContainers(engine, request);
  await pruneNetworks(engine, request);
  // Only volumes without a name are removed, as by volume prune.
  if (volumes) reclaimed += await pruneVolumes(engine, { ...request, all: false });
  reclaimed += await pruneImages(engine, request);
  reclaimed += await pruneBuilds(engine, request);
  reclaimed += await pruneTemplates(engine, request);
  context.stdout.write(`Total reclaimed space: ${humanSize(reclaimed)}\n`);
  return 0;
}

function warning({
  all,
  volumes,
  pairs,
}: {
  all: boolean;
  volumes: boolean;
  pairs: readonly [string, string][];
}): string {
  const items = [
    'all stopped containers',
    'all networks not used by at least one container',
    ...(volumes ? ['all anonymous volumes not used by at least one container'] : []),
    all ? 'all images without at least one container associated to them' : 'all dangling images',
    all ? 'all build cache' : 'unused build cache',
  ];
  const list = (lines: string[]): string => lines.map((line) => `  - ${line}\n`).join('');
  const filtered =
    pairs.length > 0
      ? `\n  Items to be pruned will be filtered with:\n${list(pairs.map(([key, value]) => `${key}=${value}`).sort())}`
      : '';
  return `WARNING! This will remove:\n${list(items)}${filtered}`;
}
