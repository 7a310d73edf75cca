/** `husk ps` */
import { configuredFormat } from '../client-config.ts';
import type { Invocation } from '../grammar/command.ts';
import { CONTAINER_HEADERS, containerRow } from '../output/container-row.ts';
import { checkFormat, parseFormat, PS_TYPED_WORDS, PS_WORDS, writeList } from '../output/format.ts';
import { collectFilters } from '../../notation/filters.ts';

const TABLE = '{{.ID}}\t{{.Image}}\t{{.Command}}\t{{.RunningFor}}\t{{.Status}}\t{{.Ports}}\t{{.Names}}';

/** format `raw` of docker/cli formatter.NewContainerFormat */
const RAW = `container_id: {{.ID}}
image: {{.Image}}
command: {{.Command}}
created_at: {{.CreatedAt}}
state: {{.State}}
status: {{.Status}}
names: {{.Names}}
labels:{{if .Labels}} {{.Labels}}{{end}}
ports:{{if .Ports}} {{.Ports}}{{end}}
`;

export async function run({ flags, context }: Invocation): Promise<number> {
  const quiet = flags.bool('quiet');
  let format = flags.string('format') || (quiet ? '' : configuredFormat('psFormat', context));
  parseFormat(format, PS_TYPED_WORDS);
  checkFormat(format, PS_WORDS);
  if (quiet && format !== '') {
    context.stderr.write('WARNING: Ignoring custom format, because both --format and --quiet are set.\n');
    if (format !== 'raw') format = '';
  }
  const last = flags.bool('latest') ? 1 : (flags.number('last') ?? -1);
  const filters = collectFilters(flags.items<[string, string]>('filter'));
  const size = flags.bool('size') || /\.Size\b/.test(format);
  const engine = await context.engine();
  // A filter by state, or --last, applies to all containers, as in Docker.
  const all = flags.bool('all') || last > 0 || filters['status'] !== undefined || filters['exited'] !== undefined;
  const listed = engine.list({ all, filters, last: last > 0 ? last : undefined });
  const containers = size
    ? await Promise.all(listed.map(async (container) => ({ ...container, size: await engine.size(container.id) })))
    : listed;
  const mixed = new Set(containers.map((container) => container.config.isolation)).size > 1;
  const rows = containers.map((container) =>
    containerRow(container, { truncate: !flags.bool('no-trunc'), now: context.now() }),
  );
  writeList(
    rows,
    {
      format,
      quiet,
      // The isolation gets a column only when the list has both.
      defaultTable: TABLE + (flags.bool('size') ? '\t{{.Size}}' : '') + (mixed ? '\t{{.Isolation}}' : ''),
      quietTemplate: '{{.ID}}',
      raw: { template: RAW + (flags.bool('size') ? 'size: {{.Size}}\n' : ''), quiet: 'container_id: {{.ID}}' },
      headers: CONTAINER_HEADERS,
      rowType: '*formatter.ContainerContext',
      words: PS_WORDS,
    },
    context.stdout,
  );
  return 0;
}
