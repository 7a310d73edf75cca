/**
 * `husk system prune`: containers, volumes and images that nothing uses, in an order in which the one frees the other.
 */
import { HuskError } from '../../errors.ts';
import type { Invocation } from '../grammar/command.ts';
import { confirm } from '../confirm.ts';
import { humanSize } from '../output/units.ts';
import { pruneContainers, pruneImages, pruneVolumes } from '../prune.ts';
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
  // those without a name only, as volume prune takes them
  if (volumes) reclaimed += await pruneVolumes(engine, { ...request, all: false });
  reclaimed += await pruneImages(engine, request);
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
    ...(volumes ? ['all anonymous volumes not used by at least one container'] : []),
    all ? 'all images without at least one container associated to them' : 'all dangling images',
  ];
  const list = (lines: string[]): string => lines.map((line) => `  - ${line}\n`).join('');
  const filtered =
    pairs.length > 0
      ? `\n  Items to be pruned will be filtered with:\n${list(pairs.map(([key, value]) => `${key}=${value}`).sort())}`
      : '';
  return `WARNING! This will remove:\n${list(items)}${filtered}`;
}
