/**
 * Draws trees as lines of text: with box characters of Unicode where the terminal's locale has them, else with ASCII.
 * The functions are pure.
 */

export interface Branch {
  text: string;
  branches?: readonly Branch[];
}

const UNICODE = { last: '└─ ', more: '├─ ', line: '│  ', gap: '   ' };
const ASCII = { last: '`- ', more: '|- ', line: '|  ', gap: '   ' };

/** @returns whether the locale has Unicode; the first of these variables that is set decides, locale(7) */
export function hasUnicode(env: NodeJS.ProcessEnv): boolean {
  return /utf-?8/i.test(env['LC_ALL'] || env['LC_CTYPE'] || env['LANG'] || '');
}

/** @returns one line for each root, and one for each branch below it */
export function treeLines(roots: readonly Branch[], options: { unicode: boolean }): string[] {
  const marks = options.unicode ? UNICODE : ASCII;
  const below = ({ branches = [] }: Branch, indent: string): string[] =>
    branches.flatMap((branch, index) => {
      const isLast = index === branches.length - 1;
      return [
        `${indent}${isLast ? marks.last : marks.more}${branch.text}`,
        ...below(branch, `${indent}${isLast ? marks.gap : marks.line}`),
      ];
    });
  return roots.flatMap((root) => [root.text, ...below(root, '')]);
}
