/** `husk volume ls` */
import type { Invocation } from '../command.ts';
import { collectFilters } from '../grammar/values.ts';
import { parseFormat, writeList } from '../output/format.ts';

const HEADERS = { Name: 'VOLUME NAME', Driver: 'DRIVER', Scope: 'SCOPE', Mountpoint: 'MOUNTPOINT', Labels: 'LABELS', Links: 'LINKS', Size: 'SIZE' };

export async function run({ flags, context }: Invocation): Promise<number> {
  const format = flags.string('format');
  parseFormat(format.replace(/^table /, ''));
  const volumes = await (await context.engine()).volumes();
  const rows = volumes.list(collectFilters(flags.items<[string, string]>('filter'))).map(({ name, driver, labels, mountpoint }) => ({
    Driver: driver,
    Labels: Object.entries(labels).map(([key, value]) => `${key}=${value}`).join(','),
    // sizes cost a walk; Docker shows them in `system df` alone
    Availability: 'N/A',
    Group: 'N/A',
    Links: 'N/A',
    Status: 'N/A',
    Mountpoint: mountpoint,
    Name: name,
    Scope: 'local',
    Size: 'N/A',
    Label: (key: string) => labels[key] ?? '',
  }));
  writeList(rows, { format, quiet: flags.bool('quiet'), defaultTable: '{{.Driver}}\t{{.Name}}', quietTemplate: '{{.Name}}', headers: HEADERS }, context.stdout);
  return 0;
}
