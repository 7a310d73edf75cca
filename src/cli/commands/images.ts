/** `husk images` */
import { configuredFormat } from '../client-config.ts';
import type { Invocation } from '../command.ts';
import { collectFilters } from '../grammar/values.ts';
import { imageFilter } from '../image-filters.ts';
import { checkFormat, writeList } from '../output/format.ts';
import { createdAt, IMAGE_HEADERS, imageRows } from '../output/image-row.ts';

export async function run({ flags, arguments: [reference], context }: Invocation): Promise<number> {
  const quiet = flags.bool('quiet');
  const format = flags.string('format') || (quiet ? '' : configuredFormat('imagesFormat', context.env));
  checkFormat(format);
  const filters = collectFilters(flags.items<[string, string]>('filter'));
  if (reference !== undefined) (filters['reference'] ??= []).push(reference);
  const { images } = await context.engine();
  const now = context.now();
  const wanted = imageFilter(filters, { now, find: (name) => images.get(name) });
  const digests = flags.bool('digests') || /\.Digest\b/.test(format);
  const rows = images
    .list()
    .filter(wanted)
    .sort((a, b) => createdAt(b) - createdAt(a))
    .flatMap((image) => imageRows(image, { truncate: !flags.bool('no-trunc'), digests, now }));
  writeList(
    quiet && format === '' ? [...new Map(rows.map((row) => [row['ID'], row])).values()] : rows,
    {
      format,
      quiet,
      defaultTable: `{{.Repository}}\t{{.Tag}}\t${flags.bool('digests') ? '{{.Digest}}\t' : ''}{{.ID}}\t{{.CreatedSince}}\t{{.Size}}`,
      quietTemplate: '{{.ID}}',
      raw: { template: `repository: {{.Repository}}\ntag: {{.Tag}}\n${flags.bool('digests') ? 'digest: {{.Digest}}\n' : ''}image_id: {{.ID}}\ncreated_at: {{.CreatedAt}}\nvirtual_size: {{.Size}}\n`, quiet: 'image_id: {{.ID}}' },
      headers: IMAGE_HEADERS,
      rowType: '*formatter.imageContext',
    },
    context.stdout,
  );
  return 0;
}
