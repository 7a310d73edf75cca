/**
 * Patterns as Go programs read them, for Docker's filters and log options: regular expressions (RE2) and path.Match's
 * globs. A subject is matched in time linear in its length, even when pattern and subject are hostile: for `(a+)+$` and
 * a long name JavaScript's own engine would backtrack for hours. Husk's own patterns do not come here; they are
 * JavaScript's.
 */
import { createRequire } from 'node:module';
import { HuskError } from '../errors.ts';

/**
 * limit of characters of a pattern. RE2 compiles it into a program whose size grows with it, and refuses programs that
 * grow too large.
 */
const MAX_PATTERN = 4096;
/** limit of characters of a pattern that an error quotes */
const MAX_QUOTED = 80;

export type Matcher = (subject: string) => boolean;

let engine: typeof import('re2js') | undefined;

/**
 * Compiles a regular expression.
 * @param what name of the pattern in an error: `filter name`
 * @returns whether a subject contains a match, as Go's regexp.MatchString does
 * @throws HuskError `invalid` that quotes the pattern and says what is wrong with it
 */
export function goPattern(pattern: string, what: string): Matcher {
  const refuse = (why: string, cause?: unknown) => refusal(`invalid ${what} ${quote(pattern)}: ${why}`, cause);
  if (pattern.length > MAX_PATTERN) throw refuse(`a pattern may have ${MAX_PATTERN} characters`);
  // The library is loaded on first use, because it costs 10 ms, and by `require`, because filters are checked and
  // matched synchronously within one reading of the records.
  engine ??= createRequire(import.meta.url)('re2js') as typeof import('re2js');
  try {
    const compiled = engine.RE2JS.compile(pattern);
    return (subject) => compiled.test(subject);
  } catch (error) {
    if ((error as Error).name !== 'RE2JSSyntaxException') throw error;
    throw refuse(
      `it is no regular expression: ${(error as Error).message.replace(/^error parsing regexp: /, '')}`,
      error,
    );
  }
}

/**
 * Compiles a glob of Go's path.Match: `*` and `?` stop at a slash, `[^a-z]` is a class, `\*` is a star. A glob matches
 * whole subjects only.
 * @param what as for goPattern
 * @throws HuskError `invalid`
 */
export function goGlob(pattern: string, what: string): Matcher {
  let at = 0;
  const fail = (): never => {
    throw refusal(`invalid ${what} ${quote(pattern)}: syntax error in pattern`);
  };
  const next = (): string => {
    const character = String.fromCodePoint(pattern.codePointAt(at) ?? fail());
    at += character.length;
    return character;
  };
  /** @returns one end of a range, which a bare `-` or `]` cannot be */
  const bound = (): string => {
    const character = next();
    if (character === '-' || character === ']') fail();
    return literal(character === '\\' ? next() : character);
  };
  const characterClass = (): string => {
    const negated = pattern[at] === '^';
    if (negated) at++;
    let ranges = '';
    while (ranges === '' || pattern[at] !== ']') {
      const low = bound();
      if (pattern[at] !== '-') ranges += low;
      else {
        at++;
        ranges += `${low}-${bound()}`;
      }
    }
    at++;
    return `[${negated ? '^' : ''}${ranges}]`;
  };
  let source = '';
  while (at < pattern.length) {
    const character = next();
    if (character === '*') source += '[^/]*';
    else if (character === '?') source += '[^/]';
    else if (character === '[') source += characterClass();
    else source += literal(character === '\\' ? next() : character);
  }
  try {
    return goPattern(`\\A${source}\\z`, what);
  } catch {
    // The pattern has a range that runs backwards, or is longer than the limit.
    return fail();
  }
}

/** @returns a character so that it stands for itself, whatever RE2 makes of it bare */
function literal(character: string): string {
  return /^\w$/.test(character) ? character : `\\x{${character.codePointAt(0)!.toString(16)}}`;
}

function quote(pattern: string): string {
  return JSON.stringify(pattern.length > MAX_QUOTED ? `${pattern.slice(0, MAX_QUOTED)}…` : pattern);
}

function refusal(message: string, cause?: unknown): HuskError {
  return new HuskError(message, { kind: 'invalid', cause });
}
