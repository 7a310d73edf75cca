/** `husk search` */
import { HuskError } from '../../errors.ts';
import { DEFAULT_LIMIT, MAX_LIMIT, searchFilter } from '../../images/registry/search-filter.ts';
import { collectFilters } from '../../notation/filters.ts';
import type { Invocation } from '../grammar/command.ts';
import { abortOnInterrupt } from '../interrupt.ts';
import { checkFormat, writeList } from '../output/format.ts';
import { printable } from '../output/printable.ts';
import { ellipsis } from '../output/table.ts';
import { warner } from '../output/warn.ts';

/** width in characters to which a description is cut, docker/cli formatter */
const DESCRIPTION_WIDTH = 45;
const HEADERS = {
  Name: 'NAME',
  Description: 'DESCRIPTION',
  StarCount: 'STARS',
  IsOfficial: 'OFFICIAL',
};

export async function run({ flags, arguments: [text = ''], context }: Invocation): Promise<number> {
  const format = flags.string('format');
  checkFormat(format);
  const limit = flags.number('limit') || DEFAULT_LIMIT;
  if (limit < 1 || limit > MAX_LIMIT)
    throw new HuskError(`limit ${limit} is outside the range of [1, ${MAX_LIMIT}]`, { kind: 'invalid' });
  const filters = collectFilters(flags.items<[string, string]>('filter'));
  const matches = searchFilter(filters);
  if ('is-automated' in filters)
    warner(context)(
      'the "is-automated" filter is deprecated, and searching for "is-automated=true" will not yield any results in future.',
    );
  const { images } = await context.engine();
  using abort = abortOnInterrupt('the search was interrupted');
  const { host, by, results, complete } = await images.search(text, { limit, signal: abort.signal });
  if (by === 'catalog')
    context.stderr.write(
      printable(
        `husk: ${host} has no search: these are names of its catalog${complete ? '' : ', which is too long to be read to its end'}`,
        context.stderr,
      ) + '\n',
    );
  const truncate = !flags.bool('no-trunc');
  const mark = (value: boolean): string => (format === 'json' ? String(value) : value ? '[OK]' : '');
  writeList(
    results.filter(matches).map(({ name, description, stars, official }) => ({
      Description: truncate ? ellipsis(description, DESCRIPTION_WIDTH) : description,
      IsOfficial: mark(official),
      Name: name,
      StarCount: String(stars),
    })),
    {
      format,
      quiet: false,
      defaultTable: '{{.Name}}\t{{.Description}}\t{{.StarCount}}\t{{.IsOfficial}}',
      quietTemplate: '{{.Name}}',
      headers: HEADERS,
      rowType: '*search.searchContext',
    },
    context.stdout,
  );
  return 0;
}
