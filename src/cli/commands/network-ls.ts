/** `husk network ls` */
import { HuskError } from '../../errors.ts';
import { configuredFormat } from '../client-config.ts';
import type { Invocation } from '../grammar/command.ts';
import { labelsText, shortId } from '../output/container-row.ts';
import { checkFormat, writeList } from '../output/format.ts';
import { goUtcTime } from '../output/units.ts';
import { collectFilters } from '../../notation/filters.ts';
import { naturalOrder } from '../../notation/natural-order.ts';

const HEADERS = {
  ID: 'NETWORK ID',
  Name: 'NAME',
  Driver: 'DRIVER',
  Scope: 'SCOPE',
  IPv4: 'IPV4',
  IPv6: 'IPV6',
  Internal: 'INTERNAL',
  Labels: 'LABELS',
  CreatedAt: 'CREATED AT',
};

export async function run({ flags, context }: Invocation): Promise<number> {
  const quiet = flags.bool('quiet');
  const isTree = flags.bool('tree');
  for (const other of ['quiet', 'no-trunc', 'format'])
    if (isTree && flags.changed(other))
      throw new HuskError(`conflicting options: --tree and --${other}`, { kind: 'invalid' });
  const format = flags.string('format') || (quiet ? '' : configuredFormat('networksFormat', context));
  checkFormat(format);
  const engine = await context.engine();
  const found = (await engine.networks())
    .list(collectFilters(flags.items<[string, string]>('filter')))
    .sort((a, b) => naturalOrder(a.name, b.name));
  if (isTree) {
    await (await import('../output/network-tree.ts')).writeNetworkTree(engine, found, { details: false, context });
    return 0;
  }
  const rows = found.map(({ id, name, createdAt, driver, ipv4, ipv6, internal, labels }) => ({
    CreatedAt: goUtcTime(createdAt),
    Driver: driver,
    ID: flags.bool('no-trunc') ? id : shortId(id),
    IPv4: String(ipv4),
    IPv6: String(ipv6),
    Internal: String(internal),
    Labels: labelsText(labels),
    Name: name,
    Scope: 'local',
    Label: (key: string) => (Object.hasOwn(labels, key) ? labels[key]! : ''),
  }));
  writeList(
    rows,
    {
      format,
      quiet,
      defaultTable: '{{.ID}}\t{{.Name}}\t{{.Driver}}\t{{.Scope}}',
      quietTemplate: '{{.ID}}',
      raw: {
        template: 'network_id: {{.ID}}\nname: {{.Name}}\ndriver: {{.Driver}}\nscope: {{.Scope}}\n',
        quiet: 'network_id: {{.ID}}',
      },
      headers: HEADERS,
      rowType: '*network.networkContext',
    },
    context.stdout,
  );
  return 0;
}
