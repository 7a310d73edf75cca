/**
 * `images --tree`, as the Docker client prints it: one line per image, with its other names above. husk keeps one
 * platform of an image, so that there are no lines of platforms below. The functions are pure but for writing.
 */
import { HuskError } from '../../errors.ts';
import type { Image } from '../../images/store/contract.ts';
import type { Context } from '../grammar/command.ts';
import type { FlagSet } from '../grammar/flag-set.ts';
import { shortId } from './container-row.ts';
import { printable } from './printable.ts';
import { ellipsis } from './table.ts';
import { hasUnicode } from './tree.ts';
import { humanSize } from './units.ts';

/** flags that docker/cli command/image/list.go refuses as well */
const REFUSED: readonly [flag: string, spelling: string][] = [
  ['quiet', '--quiet'],
  ['no-trunc', '--no-trunc'],
  ['digests', '--show-digest'],
  ['format', '--format'],
];
const WARNING = "WARNING: This is an experimental feature. The output may change and shouldn't be depended on.";
/** what stands right above the columns: for files and old terminals, and for terminals that have Unicode */
const LEGEND = { plain: 'Info ->  U In Use ', fancy: 'i Info →   U  In Use ' };
/** the mark of an image that a container uses */
const IN_USE = { plain: 'U', fancy: ' U ' };
const UNTAGGED = '<untagged>';
const GAP = '   ';
/** columns of what is no terminal, and those of the narrowest one that is written for */
const DEFAULT_WIDTH = 80;
const LEAST_WIDTH = 20;
/** columns that names keep; others are left out from the right where they would have less */
const LEAST_NAMES = 12;
/** the client's own columns, whose widths do not grow: short ids have 12 digits */
const COLUMNS = [
  { title: 'ID', width: 12, right: false },
  { title: 'DISK USAGE', width: 10, right: true },
  { title: 'CONTENT SIZE', width: 12, right: true },
  { title: 'EXTRA', width: 5, right: false },
] as const;

/** @throws HuskError `invalid` with Docker's text */
export function checkTreeFlags(flags: FlagSet): void {
  for (const [flag, spelling] of REFUSED)
    if (flags.changed(flag)) throw new HuskError(`${spelling} is not yet supported with --tree`, { kind: 'invalid' });
}

/** @param options.all whether to show images without a name too */
export function writeTree(
  found: readonly { image: Image; inUse: boolean }[],
  options: { all: boolean },
  { stdout, env }: Pick<Context, 'stdout' | 'env'>,
): void {
  const form = stdout.isTTY && hasUnicode(env) ? 'fancy' : 'plain';
  const terminal = stdout.isTTY ? stdout.columns : undefined;
  const width = Math.max(terminal || DEFAULT_WIDTH, LEAST_WIDTH);
  const shown = found
    .map(({ image, inUse }) => ({ names: namesOf(image, stdout), image, inUse }))
    .filter(({ image }) => options.all || image.repoTags.length > 0);
  const { columns, names: room } = columnsIn(width);
  const widest = Math.max('IMAGE'.length, ...shown.flatMap(({ names }) => names.map((name) => name.length)));
  const nameWidth = Math.min(room, widest);
  const row = (name: string, cells: readonly string[]): string =>
    [
      ellipsis(name, nameWidth).padEnd(nameWidth),
      ...columns.map(({ width: wide, right }, index) =>
        right ? cells[index]!.padStart(wide) : cells[index]!.padEnd(wide),
      ),
    ].join(GAP);
  const titles = columns.map(({ title }) => title);
  const lines = [WARNING, LEGEND[form].padStart(width), '', row('IMAGE', titles)];
  for (const { names, image, inUse } of shown) {
    // The client's "content" is the compressed blobs, which husk does not keep.
    const cells = [shortId(image.id), humanSize(image.size, 3), humanSize(0, 3), inUse ? IN_USE[form] : ''];
    const above = names.slice(0, -1).map((name) => (terminal ? ellipsis(name, width) : name));
    lines.push(...above, row(names.at(-1)!, cells));
  }
  stdout.write(`${lines.join('\n')}\n`);
}

/** @returns the names, the longest first: only the last one shares its line with the other columns */
function namesOf({ repoTags }: Image, stdout: Context['stdout']): string[] {
  if (repoTags.length === 0) return [UNTAGGED];
  return repoTags.map((name) => printable(name, stdout)).sort((a, b) => b.length - a.length);
}

/** @returns the columns that fit, and how many columns of the terminal are left for names */
function columnsIn(width: number): { columns: readonly (typeof COLUMNS)[number][]; names: number } {
  let names = width;
  for (const [index, column] of COLUMNS.entries()) {
    const wanted = column.width + GAP.length;
    if (names - wanted < LEAST_NAMES) return { columns: COLUMNS.slice(0, index), names };
    names -= wanted;
  }
  return { columns: COLUMNS, names };
}
