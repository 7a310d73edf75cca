/**
 * Columns in the form of Docker's lists: Go's text/tabwriter with cells at least 10 wide and 3 spaces between, without
 * padding after the last cell. The functions are pure. The width of a cell is counted in terminal columns, so that wide
 * characters do not shift the rest.
 */

/** parameters of docker/cli formatter: tabwriter.NewWriter(out, 10, 1, 3, ' ', 0) */
const MINIMUM_WIDTH = 10;
const PADDING = 3;

/** @param rows cells; the last cell of each row is not padded */
export function table(
  rows: readonly (readonly string[])[],
  { minimum = MINIMUM_WIDTH, padding = PADDING }: { minimum?: number; padding?: number } = {},
): string {
  const widths: number[] = [];
  for (const row of rows) {
    for (let column = 0; column < row.length - 1; column++)
      widths[column] = Math.max(widths[column] ?? minimum, width(row[column]!) + padding);
  }
  return rows
    .map(
      (row) =>
        `${row.map((cell, column) => (column === row.length - 1 ? cell : cell + ' '.repeat(widths[column]! - width(cell)))).join('')}\n`,
    )
    .join('');
}

/** @returns terminal columns of a text: 2 for East Asian wide characters and emoji, 0 for combining marks */
export function width(text: string): number {
  if (/^[\x20-\x7e]*$/.test(text)) return text.length;
  let columns = 0;
  for (const character of text)
    columns += /\p{Mn}|\p{Me}|\p{Cf}/u.test(character) ? 0 : isWide(character.codePointAt(0)!) ? 2 : 1;
  return columns;
}

/** @returns whether a character is wide: Unicode Standard Annex 11, reduced to the common blocks */
function isWide(code: number): boolean {
  return (
    code >= 0x1100 &&
    (code <= 0x115f ||
      (code >= 0x2e80 && code <= 0xa4cf && code !== 0x303f) ||
      (code >= 0xac00 && code <= 0xd7a3) ||
      (code >= 0xf900 && code <= 0xfaff) ||
      (code >= 0xfe30 && code <= 0xfe6f) ||
      (code >= 0xff00 && code <= 0xff60) ||
      (code >= 0xffe0 && code <= 0xffe6) ||
      (code >= 0x1f300 && code <= 0x1f64f) ||
      (code >= 0x1f900 && code <= 0x1f9ff) ||
      (code >= 0x20000 && code <= 0x3fffd))
  );
}

/**
 * Cuts a text to at most `limit` terminal columns, and ends it with `…` when something was cut, as Docker's
 * formatter.Ellipsis does.
 */
export function ellipsis(text: string, limit: number): string {
  if (width(text) <= limit) return text;
  let kept = '';
  let columns = 0;
  for (const character of text) {
    columns += width(character);
    if (columns > limit - 1) break;
    kept += character;
  }
  return `${kept}…`;
}
