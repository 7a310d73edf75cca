/** `husk volume ls` */
import { configuredFormat } from '../client-config.ts';
import type { Invocation } from '../grammar/command.ts';
import { labelsText } from '../output/container-row.ts';
import { checkFormat, writeList } from '../output/format.ts';
import { collectFilters } from '../../notation/filters.ts';

const HEADERS = {
  Name: 'VOLUME NAME',
  Driver: 'DRIVER',
  Scope: 'SCOPE',
  Mountpoint: 'MOUNTPOINT',
  Labels: 'LABELS',
  Links: 'LINKS',
  Size: 'SIZE',
};

export async function run({ flags, context }: Invocation): Promise<number> {
  const quiet = flags.bool('quiet');
  const format = flags.string('format') || (quiet ? '' : configuredFormat('volumesFormat', context));
  checkFormat(format);
  const volumes = await (await context.engine()).volumes();
  const rows = volumes
    .list(collectFilters(flags.items<[string, string]>('filter')))
    .map(({ name, driver, labels, mountpoint }) => ({
      Availability: 'N/A',
      Driver: driver,
      Group: 'N/A',
      Labels: labelsText(labels),
      // A size costs a walk through the volume; Docker shows sizes in `system df` alone.
      Links: 'N/A',
      Mountpoint: mountpoint,
      Name: name,
      Scope: 'local',
      Size: 'N/A',
      Status: 'N/A',
      Label: (key: string) => (Object.hasOwn(labels, key) ? labels[key]! : ''),
    }));
  writeList(
    rows,
    {
      format,
      quiet,
      defaultTable: '{{.Driver}}\t{{.Name}}',
      quietTemplate: '{{.Name}}',
      raw: { template: 'name: {{.Name}}\ndriver: {{.Driver}}\n', quiet: 'name: {{.Name}}' },
      headers: HEADERS,
      rowType: '*formatter.volumeContext',
    },
    context.stdout,
  );
  return 0;
}
