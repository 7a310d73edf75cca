/**
 * Patterns of `${name#p}`, `${name%p}` and `${name/p/r}`: `*` is any text, `?` any one character, a backslash makes
 * them plain. A pattern is the texts between its stars, which are looked for one after the other: never more
 * comparisons than length by length, where a regular expression could take for ever.
 *
 * Source: POSIX Shell Command Language §2.6.2, without brackets, as BuildKit's lexer has them.
 */
import { HuskError } from '../../../errors.ts';
import type { ExpansionBudget } from './budget.ts';

/** characters of a text between two stars; undefined stands for `?` */
type Segment = (string | undefined)[];

function compile(pattern: string): Segment[] {
  const segments: Segment[] = [[]];
  const characters = [...pattern];
  for (let at = 0; at < characters.length; at++) {
    let character = characters[at]!;
    if (character === '*') {
      segments.push([]);
      continue;
    }
    if (character === '\\') {
      const next = characters[++at];
      if (next === undefined || !'*?\\}/'.includes(next))
        throw new HuskError(`invalid pattern (${pattern}) in substitution: invalid escape '\\${next ?? ''}'`, {
          kind: 'invalid',
        });
      character = next;
    } else if (character === '?') {
      segments.at(-1)!.push(undefined);
      continue;
    }
    segments.at(-1)!.push(character);
  }
  return segments;
}

function isAt(value: string[], segment: Segment, at: number): boolean {
  if (at + segment.length > value.length) return false;
  return segment.every((character, index) => character === undefined || character === value[at + index]);
}

function find(value: string[], segment: Segment, from: number): number {
  for (let at = from; at + segment.length <= value.length; at++) if (isAt(value, segment, at)) return at;
  return -1;
}

function findLast(value: string[], segment: Segment, from: number): number {
  for (let at = value.length - segment.length; at >= from; at--) if (isAt(value, segment, at)) return at;
  return -1;
}

/** @returns the end of a match that begins at `start`, the longest or the shortest; -1 if there is none */
function matchEnd(value: string[], segments: Segment[], start: number, longest: boolean): number {
  if (!isAt(value, segments[0]!, start)) return -1;
  let at = start + segments[0]!.length;
  // Whatever stands between two stars may be taken where it comes first: that leaves the most for the rest.
  for (const segment of segments.slice(1, -1)) {
    at = find(value, segment, at);
    if (at === -1) return -1;
    at += segment.length;
  }
  if (segments.length === 1) return at;
  const last = segments.at(-1)!;
  const found = longest ? findLast(value, last, at) : find(value, last, at);
  return found === -1 ? -1 : found + last.length;
}

/** Takes off what the pattern matches at the value's beginning (`#`) or end (`%`). */
export function trim(
  value: string,
  pattern: string,
  side: 'prefix' | 'suffix',
  longest: boolean,
  budget: ExpansionBudget,
): string {
  budget.spend(value.length * (pattern.length + 1));
  const segments = compile(pattern);
  const characters = [...value];
  if (side === 'prefix') {
    const end = matchEnd(characters, segments, 0, longest);
    return end === -1 ? value : characters.slice(end).join('');
  }
  // The end of a text is the beginning of the reversed one.
  const end = matchEnd(
    characters.reverse(),
    segments.reverse().map((segment) => segment.reverse()),
    0,
    longest,
  );
  return end === -1 ? value : characters.slice(end).reverse().join('');
}

/** Replaces what the pattern matches, longest matches first from the left: the first one, or all. */
export function replace(
  value: string,
  pattern: string,
  replacement: string,
  all: boolean,
  budget: ExpansionBudget,
): string {
  const segments = compile(pattern);
  const characters = [...value];
  let result = '';
  let copied = 0;
  let from = 0;
  while (from <= characters.length) {
    budget.spend((characters.length - from + 1) * (pattern.length + 1));
    // If the first place where the pattern's head stands does not do, no later one has more room behind it.
    const start = find(characters, segments[0]!, from);
    const end = start === -1 ? -1 : matchEnd(characters, segments, start, true);
    if (end === -1) break;
    result += characters.slice(copied, start).join('');
    // An empty match right behind another one is none.
    if (end > copied || start === 0) {
      result += replacement;
      budget.grow(replacement.length, result.length);
    }
    copied = end;
    from = Math.max(end, from + 1);
    if (!all) break;
  }
  return result + characters.slice(copied).join('');
}
