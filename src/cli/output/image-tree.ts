/**
 * `images --tree`, as the Docker client prints it: an image a block, its names one below the other. husk keeps one
 * platform of an image. Pure but for writing.
 */
import { HuskError } from '../../errors.ts';
import type { Image } from '../../images/store/contract.ts';
import type { Context } from '../grammar/command.ts';
import type { FlagSet } from '../grammar/flag-set.ts';
import { shortId } from './container-row.ts';
import { printable } from './printable.ts';
import { humanSize } from './units.ts';

/** of docker/cli command/image/list.go, which refuses the same flags */
const REFUSED: readonly [flag: string, spelling: string][] = [
  ['quiet', '--quiet'],
  ['no-trunc', '--no-trunc'],
  ['digests', '--show-digest'],
  ['format', '--format'],
];
const WARNING = "WARNING: This is an experimental feature. The output may change and shouldn't be depended on.";
const LEGEND = 'Info ->  U In Use ';
const UNTAGGED = '<untagged>';
const GAP = '   ';
/** widths as the client's own columns, which do not grow: short ids have 12 digits */
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

/** @param options.all those without a name too */
export function writeTree(
  found: readonly { image: Image; inUse: boolean }[],
  options: { all: boolean },
  { stdout }: Pick<Context, 'stdout'>,
): void {
  const shown = found
    .map(({ image, inUse }) => ({ names: image.repoTags.length > 0 ? image.repoTags : [UNTAGGED], image, inUse }))
    .filter(({ image }) => options.all || image.repoTags.length > 0);
  const width = Math.max('IMAGE'.length, ...shown.flatMap(({ names }) => names.map((name) => name.length)));
  const row = (name: string, cells: readonly string[]): string =>
    [
      name.padEnd(width),
      ...COLUMNS.map(({ width: wide, right }, index) =>
        right ? cells[index]!.padStart(wide) : cells[index]!.padEnd(wide),
      ),
    ].join(GAP);
  const header = row(
    'IMAGE',
    COLUMNS.map(({ title }) => title),
  );
  const lines = [WARNING, LEGEND.padStart(header.length), '', header];
  for (const { names, image, inUse } of shown) {
    // what the client calls content is the compressed blobs, which are not kept
    const cells = [shortId(image.id), humanSize(image.size, 3), humanSize(0, 3), inUse ? '  U  ' : ''];
    lines.push(...names.slice(0, -1), row(names.at(-1)!, cells), '');
  }
  stdout.write(`${lines.map((line) => printable(line, stdout)).join('\n')}\n`);
}
