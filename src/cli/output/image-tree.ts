/**
 * `images --tree`, as the Docker client prints it: one line per image, with its other names above, and below it the
 * images of several platforms that its names stand for. The functions are pure but for writing.
 */
import { HuskError } from '../../errors.ts';
import type { Image, Platform } from '../../images/store/contract.ts';
import { formatPlatform } from '../../images/store/platform.ts';
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

/** what the client draws before platforms, in any locale */
const BRANCHES = { more: '├─ ', last: '└─ ' };

/** One of the images that a name stands for. */
export interface PlatformRow {
  id: string;
  platform: Platform;
  /** bytes; 0 where it has been removed */
  size: number;
  inUse: boolean;
}

/** @throws HuskError `invalid` with Docker's text */
export function checkTreeFlags(flags: FlagSet): void {
  for (const [flag, spelling] of REFUSED)
    if (flags.changed(flag)) throw new HuskError(`${spelling} is not yet supported with --tree`, { kind: 'invalid' });
}

/** @param options.all whether to show images without a name too */
export function writeTree(
  found: readonly { image: Image; inUse: boolean; platforms: readonly PlatformRow[] }[],
  options: { all: boolean },
  { stdout, env }: Pick<Context, 'stdout' | 'env'>,
): void {
  const form = stdout.isTTY && hasUnicode(env) ? 'fancy' : 'plain';
  const terminal = stdout.isTTY ? stdout.columns : undefined;
  const width = Math.max(terminal || DEFAULT_WIDTH, LEAST_WIDTH);
  const shown = found
    .map(({ image, ...rest }) => ({ names: namesOf(image, stdout), image, ...rest }))
    .filter(({ image }) => options.all || image.repoTags.length > 0);
  const { columns, names: room } = columnsIn(width);
  const hasPlatforms = shown.some(({ platforms }) => platforms.length > 0);
  // The client counts the bytes of a branch, in which each of its characters has three.
  const widths = shown.flatMap(({ names, platforms }) => [
    ...names.map((name) => name.length),
    ...branchesOf(platforms).map((name) => Buffer.byteLength(name)),
  ]);
  const widest = widths.reduce((most, each) => Math.max(most, each), 'IMAGE'.length);
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
  // The client's "content" is the compressed blobs, which husk does not keep.
  const cells = ({ id, size }: { id: string; size: number }, inUse: boolean): string[] => [
    shortId(id),
    humanSize(size, 3),
    humanSize(0, 3),
    inUse ? IN_USE[form] : '',
  ];
  for (const { names, image, inUse, platforms } of shown) {
    const above = names.slice(0, -1).map((name) => (terminal ? ellipsis(name, width) : name));
    const below = branchesOf(platforms).map((name, index) =>
      row(name, cells(platforms[index]!, platforms[index]!.inUse)),
    );
    lines.push(...above, row(names.at(-1)!, cells(image, inUse)), ...below, ...(hasPlatforms ? [''] : []));
  }
  stdout.write(`${lines.join('\n')}\n`);
}

const branchesOf = (platforms: readonly PlatformRow[]): string[] =>
  platforms.map(
    ({ platform }, index) =>
      `${index === platforms.length - 1 ? BRANCHES.last : BRANCHES.more}${formatPlatform(platform)}`,
  );

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
