/** `husk history` */
import type { Invocation } from '../grammar/command.ts';
import type { Image } from '../../images/store/contract.ts';
import { checkPlatforms } from '../image-platform.ts';
import { shortId } from '../output/container-row.ts';
import { checkFormat, writeList } from '../output/format.ts';
import { ellipsis } from '../output/table.ts';
import { ago, humanSize, localIso } from '../output/units.ts';

/** characters of CREATED BY where it is cut; docker/cli formatter */
const CREATED_BY_WIDTH = 45;
const HEADERS = {
  ID: 'IMAGE',
  CreatedSince: 'CREATED',
  CreatedAt: 'CREATED AT',
  CreatedBy: 'CREATED BY',
  Size: 'SIZE',
  Comment: 'COMMENT',
};

export async function run({ flags, arguments: [reference = ''], context }: Invocation): Promise<number> {
  const format = flags.string('format');
  checkFormat(format);
  const { images } = await context.engine();
  await checkPlatforms(flags, images, [reference]);
  const image = images.get(reference);
  const human = flags.bool('human');
  const rows = historyRows(image, { human, truncate: !flags.bool('no-trunc'), now: context.now() });
  writeList(
    rows,
    {
      format,
      quiet: flags.bool('quiet'),
      defaultTable: `{{.ID}}\t${human ? '{{.CreatedSince}}' : '{{.CreatedAt}}'}\t{{.CreatedBy}}\t{{.Size}}\t{{.Comment}}`,
      quietTemplate: '{{.ID}}',
      headers: HEADERS,
      rowType: '*image.historyContext',
    },
    context.stdout,
  );
  return 0;
}

/** newest first; only the newest step is an image of its own */
function historyRows(
  image: Image,
  options: { human: boolean; truncate: boolean; now: number },
): Record<string, unknown>[] {
  let layer = 0;
  const steps = (image.config.history ?? []).map((step) => ({
    step,
    size: step.empty_layer ? 0 : (image.layers[layer++]?.size ?? 0),
  }));
  return steps.reverse().map(({ step, size }, index) => {
    const created = Date.parse(step.created ?? '');
    const by = (step.created_by ?? '').replaceAll('\t', ' ').replaceAll('\n', ' ');
    return {
      Comment: step.comment ?? '',
      CreatedAt: Number.isNaN(created) ? '' : localIso(created),
      CreatedBy: options.truncate ? ellipsis(by, CREATED_BY_WIDTH) : by,
      CreatedSince: Number.isNaN(created) ? 'N/A' : ago(created, options.now),
      ID: index === 0 ? (options.truncate ? shortId(image.id) : image.id) : '<missing>',
      Size: options.human ? humanSize(size, 3) : String(size),
    };
  });
}
