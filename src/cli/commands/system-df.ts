/** `husk system df` */
import type { Invocation } from '../grammar/command.ts';
import { HuskError } from '../../errors.ts';
import { CONTAINER_HEADERS } from '../output/container-row.ts';
import { buildCacheSize, detailRows, SUMMARY_HEADERS, summaryRows } from '../output/disk-usage-rows.ts';
import { checkFormat, OBJECT_WORDS, parseFormat, render, safe, writeList } from '../output/format.ts';
import { IMAGE_HEADERS } from '../output/image-row.ts';
import { humanSize } from '../output/units.ts';
import { goRowJson } from '../template/json.ts';

const SUMMARY = '{{.Type}}\t{{.TotalCount}}\t{{.Active}}\t{{.Size}}\t{{.Reclaimable}}';

const RAW =
  'type: {{.Type}}\ntotal: {{.TotalCount}}\nactive: {{.Active}}\nsize: {{.Size}}\nreclaimable: {{.Reclaimable}}\n';

/** the tables of -v, in Docker's order */
const DETAILS = [
  {
    title: 'Images space usage:',
    key: 'Images',
    headers: IMAGE_HEADERS,
    template:
      '{{.Repository}}\t{{.Tag}}\t{{.ID}}\t{{.CreatedSince}}\t{{.Size}}\t{{.SharedSize}}\t{{.UniqueSize}}\t{{.Containers}}',
  },
  {
    title: 'Containers space usage:',
    key: 'Containers',
    headers: CONTAINER_HEADERS,
    template:
      '{{.ID}}\t{{.Image}}\t{{.Command}}\t{{.LocalVolumes}}\t{{.Size}}\t{{.RunningFor}}\t{{.Status}}\t{{.Names}}',
  },
  {
    title: 'Local Volumes space usage:',
    key: 'Volumes',
    headers: { Name: 'VOLUME NAME', Links: 'LINKS', Size: 'SIZE' },
    template: '{{.Name}}\t{{.Links}}\t{{.Size}}',
  },
  {
    title: 'Build cache usage:',
    key: 'BuildCache',
    headers: {
      ID: 'CACHE ID',
      Type: 'CACHE TYPE',
      Size: 'SIZE',
      Created: 'CREATED',
      Used: 'LAST USED',
      Usage: 'USAGE',
      Shared: 'SHARED',
    },
    template: '{{.ID}}\t{{.Type}}\t{{.Size}}\t{{.Created}}\t{{.Used}}\t{{.Usage}}\t{{.Shared}}',
  },
] as const;

export async function run({ flags, context }: Invocation): Promise<number> {
  const format = flags.string('format');
  const verbose = flags.bool('verbose');
  if (format.startsWith('table') && verbose)
    throw new HuskError('the verbose and the format of a table cannot be had together', {
      kind: 'invalid',
      fix: 'leave out -v, or use --format json or a template',
    });
  checkFormat(format);
  const usage = await (await context.engine()).diskUsage();
  const { stdout } = context;
  if (!verbose) {
    writeList(
      summaryRows(usage),
      {
        format,
        quiet: false,
        defaultTable: SUMMARY,
        quietTemplate: '{{.Type}}',
        raw: { template: RAW },
        headers: SUMMARY_HEADERS,
        rowType: '*formatter.diskUsageImagesContext',
      },
      stdout,
    );
    return 0;
  }
  // A script gets the whole texts.
  const details = detailRows(usage, { now: context.now(), truncate: format === '' });
  if (format !== '') {
    const shown = Object.fromEntries(
      Object.entries(details).map(([key, rows]) => [key, rows.map((row) => safe(row, stdout))]),
    );
    stdout.write(
      `${format === 'json' ? goRowJson(shown) : render(parseFormat(format), shown, { rowType: '*formatter.diskUsageContext', words: OBJECT_WORDS })}\n`,
    );
  } else {
    for (const [index, { title, key, headers, template: defaultTable }] of DETAILS.entries()) {
      const size = key === 'BuildCache' ? ` ${humanSize(buildCacheSize(usage))}` : '';
      stdout.write(`${index > 0 ? '\n' : ''}${title}${size}\n\n`);
      writeList(
        details[key],
        { format: '', quiet: false, defaultTable, quietTemplate: '', headers, rowType: title },
        stdout,
      );
    }
  }
  return 0;
}
