/** Lines of a Dockerfile round a place, as BuildKit shows them under an error. */
import type { SourceRange } from './operations.ts';

/** lines shown in either direction round one line, and round several */
const AROUND_ONE = 2;
const AROUND_SEVERAL = 1;
/** characters of a line: a line of the file may have megabytes */
const MAX_WIDTH = 500;

/**
 * Marks a range and shows the lines about it.
 * @returns lines joined by line feeds, control characters made visible; '' for a range outside of the file
 * @example `   1 |     FROM box\n   2 | >>> RUNN true`
 */
export function excerpt(lines: readonly string[], range: SourceRange): string {
  const last = Math.min(range.end, lines.length);
  if (range.start < 1 || range.start > lines.length) return '';
  const around = last > range.start ? AROUND_SEVERAL : AROUND_ONE;
  const shown: string[] = [];
  for (let number = Math.max(1, range.start - around); number <= Math.min(lines.length, last + around); number++) {
    const mark = number >= range.start && number <= last ? '>>>' : '   ';
    shown.push(`${String(number).padStart(4)} | ${mark} ${visible(lines[number - 1]!)}`);
  }
  return shown.join('\n');
}

/** A line that cannot move the cursor, ring or colour: a Dockerfile may be a stranger's. */
function visible(line: string): string {
  const text = line.replace(/\r+$/, '');
  const cut = text.length > MAX_WIDTH ? `${text.slice(0, MAX_WIDTH)}…` : text;
  return cut.replace(/[\0-\x08\x0b-\x1f\x7f-\x9f]/g, (character) => {
    return `\\x${character.charCodeAt(0).toString(16).padStart(2, '0')}`;
  });
}
