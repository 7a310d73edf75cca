/** `husk images` */
import { configuredFormat } from '../client-config.ts';
import type { Invocation } from '../grammar/command.ts';
import type { Image } from '../../images/store/contract.ts';
import { createdAt, imageFilter, isListed, namesFilter } from '../../images/store/image-filters.ts';
import { checkFormat, writeList } from '../output/format.ts';
import { IMAGE_HEADERS, imageRows } from '../output/image-row.ts';
import { checkTreeFlags, writeTree, type PlatformRow } from '../output/image-tree.ts';
import { collectFilters } from '../../notation/filters.ts';

export async function run({ flags, arguments: [reference], context }: Invocation): Promise<number> {
  if (flags.bool('tree')) checkTreeFlags(flags);
  const quiet = flags.bool('quiet');
  const format = flags.string('format') || (quiet ? '' : configuredFormat('imagesFormat', context));
  checkFormat(format);
  const filters = collectFilters(flags.items<[string, string]>('filter'));
  if (reference !== undefined) (filters['reference'] ??= []).push(reference);
  const { images } = await context.engine();
  const now = context.now();
  const names = namesFilter(filters);
  const wanted = imageFilter(filters, { now, find: (name) => images.get(name) });
  const digests = flags.bool('digests') || /\.Digest\b/.test(format);
  const found = images
    .list()
    .filter((image) => flags.bool('all') || isListed(image))
    .filter(wanted)
    .map((image): Image => ({ ...image, ...names(image) }))
    .sort((a, b) => createdAt(b) - createdAt(a));
  if (flags.bool('tree')) {
    const engine = await context.engine();
    const inUse = (id: string): boolean => engine.imageUsers(id).length > 0;
    const platformsOf = (image: Image): PlatformRow[] =>
      images
        .platforms(image.id)
        .map(({ id, platform }) => ({ id, platform, size: images.find(id)?.size ?? 0, inUse: inUse(id) }));
    writeTree(
      found.map((image) => ({ image, inUse: inUse(image.id), platforms: platformsOf(image) })),
      { all: flags.bool('all') },
      context,
    );
    return 0;
  }
  const rows = found.flatMap((image) => imageRows(image, { truncate: !flags.bool('no-trunc'), digests, now }));
  writeList(
    quiet && format === '' ? [...new Map(rows.map((row) => [row['ID'], row])).values()] : rows,
    {
      format,
      quiet,
      defaultTable: `{{.Repository}}\t{{.Tag}}\t${flags.bool('digests') ? '{{.Digest}}\t' : ''}{{.ID}}\t{{.CreatedSince}}\t{{.Size}}`,
      quietTemplate: '{{.ID}}',
      raw: {
        template: `repository: {{.Repository}}\ntag: {{.Tag}}\n${flags.bool('digests') ? 'digest: {{.Digest}}\n' : ''}image_id: {{.ID}}\ncreated_at: {{.CreatedAt}}\nvirtual_size: {{.Size}}\n`,
        quiet: 'image_id: {{.ID}}',
      },
      headers: IMAGE_HEADERS,
      rowType: '*formatter.imageContext',
    },
    context.stdout,
  );
  return 0;
}
