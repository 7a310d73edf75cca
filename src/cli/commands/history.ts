/** `husk history` */
import type { Invocation } from '../grammar/command.ts';
import type { Image } from '../../images/store/contract.ts';
import { imageHistory } from '../../images/store/history.ts';
import { checkPlatforms } from '../image-platform.ts';
import { shortId } from '../output/container-row.ts';
import { checkFormat, writeList } from '../output/format.ts';
import { ellipsis } from '../output/table.ts';
import { humanSize, localIso } from '../output/units.ts';
import { ago } from '../../notation/elapsed.ts';

/** width in characters to which CREATED BY is cut, docker/cli formatter */
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

/** @returns a row for each step, newest first; only that is an image of its own */
function historyRows(
  image: Image,
  options: { human: boolean; truncate: boolean; now: number },
): Record<string, unknown>[] {
  return imageHistory(image).map(({ created, createdBy, comment, size }, index) => {
    const by = createdBy.replaceAll('\t', ' ').replaceAll('\n', ' ');
    return {
      Comment: comment,
      CreatedAt: created === undefined ? '' : localIso(created),
      CreatedBy: options.truncate ? ellipsis(by, CREATED_BY_WIDTH) : by,
      CreatedSince: created === undefined ? 'N/A' : ago(created, options.now),
      ID: index === 0 ? (options.truncate ? shortId(image.id) : image.id) : '<missing>',
      Size: options.human ? humanSize(size, 3) : String(size),
    };
  });
}
