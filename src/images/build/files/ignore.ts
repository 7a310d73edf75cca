/**
 * Ignore files (`.dockerignore`) and the patterns of `--exclude`: which names of a tree are left out. The last pattern
 * that matches a name or a folder above it decides; `!` lets in again. The module is pure; the walker asks for each
 * name, from the top down, with what was found for its folder.
 */
import { HuskError } from '../../../errors.ts';
import { PathPattern } from './match.ts';

/** limits of an ignore file: bytes, and patterns */
const MAX_IGNORE_FILE = 1 << 20;
const MAX_RULES = 10_000;

interface Rule {
  pattern: PathPattern;
  /** whether it lets in again: it began with `!` */
  letsIn: boolean;
  /** as written */
  text: string;
  /** counted from 1 */
  line: number;
}

/** What the patterns say of one name. */
export interface Ignored {
  /** indexes of the rules that matched the name or a folder above it, ascending */
  matched: readonly number[];
  isIgnored: boolean;
}

const NOTHING: Ignored = { matched: [], isIgnored: false };

export class Ignore {
  readonly #rules: readonly Rule[];
  /** name of the file the rules are from, for messages */
  readonly name: string;

  /** @param lines patterns as written, those of an ignore file with its blank lines and comments already empty */
  constructor(lines: readonly string[], name: string) {
    this.name = name;
    this.#rules = lines.flatMap((text, index) => parseRule(text, index + 1, name) ?? []);
    if (this.#rules.length > MAX_RULES)
      throw new HuskError(`${name} has ${this.#rules.length} patterns, more than ${MAX_RULES}`, { kind: 'limit' });
  }

  /** what is said of the root, from which a walk begins */
  get top(): Ignored {
    return NOTHING;
  }

  /** all that decides what is left out: the patterns, one a line */
  get text(): string {
    return this.#rules.map(({ text }) => text).join('\n');
  }

  get isEmpty(): boolean {
    return this.#rules.length === 0;
  }

  /** @param path text, below the root @param above what was said of the folder that the name is in */
  look(path: string, above: Ignored): Ignored {
    if (this.#rules.length === 0) return NOTHING;
    const matched: number[] = [];
    let known = 0;
    for (const [index, { pattern }] of this.#rules.entries()) {
      const isAbove = above.matched[known] === index;
      if (isAbove) known++;
      if (isAbove || pattern.matches(path)) matched.push(index);
    }
    const last = matched.at(-1);
    return { matched, isIgnored: last !== undefined && !this.#rules[last]!.letsIn };
  }

  /** Says whether something below an ignored folder may be let in again; else the folder need not be opened at all. */
  mayLetInBelow(path: string, { matched }: Ignored): boolean {
    // A rule that lets in counts only behind the last one that leaves the folder out.
    const last = matched.at(-1) ?? -1;
    return this.#rules.some(({ letsIn, pattern }, index) => letsIn && index > last && pattern.mayMatchBelow(path));
  }

  /** @returns the rule that leaves the name out, for messages: `line 3 of .dockerignore (*.log)` */
  reason({ matched, isIgnored }: Ignored): string | undefined {
    const rule = isIgnored ? this.#rules[matched.at(-1)!] : undefined;
    return rule && `line ${rule.line} of ${this.name} (${rule.text})`;
  }
}

/**
 * Parses an ignore file.
 * @param name of the file, for messages
 * @throws HuskError `invalid` for a pattern that cannot be one, `limit`
 */
export function parseIgnoreFile(bytes: Uint8Array, name: string): Ignore {
  if (bytes.length > MAX_IGNORE_FILE)
    throw new HuskError(`${name} has ${bytes.length} bytes, more than ${MAX_IGNORE_FILE}`, { kind: 'limit' });
  // The decoder drops the mark of UTF-8 at the start.
  const lines = new TextDecoder().decode(bytes).split('\n');
  // A comment begins in the first column: behind blanks a `#` is part of a pattern.
  return new Ignore(
    lines.map((line) => (line.startsWith('#') ? '' : line)),
    name,
  );
}

function parseRule(written: string, line: number, name: string): Rule | undefined {
  const text = written.trim();
  const letsIn = text.startsWith('!');
  const pattern = clean(letsIn ? text.slice(1).trim() : text);
  const refuse = (why: string) =>
    new HuskError(`invalid pattern in line ${line} of ${name}: ${JSON.stringify(text.slice(0, 200))}: ${why}`, {
      kind: 'invalid',
    });
  if (pattern === '') {
    if (letsIn) throw refuse('nothing follows the !');
    return undefined;
  }
  try {
    return { pattern: new PathPattern(pattern, { deep: true }), letsIn, text, line };
  } catch (error) {
    throw refuse((error as Error).message);
  }
}

/**
 * Cleans a pattern as Go's filepath.Clean does, and drops a leading slash. What begins with `..` stays, and matches
 * nothing.
 */
function clean(pattern: string): string {
  if (pattern === '') return '';
  const parts: string[] = [];
  for (const part of pattern.split('/')) {
    if (part === '' || part === '.') continue;
    if (part !== '..') parts.push(part);
    else if (parts.length > 0 && parts.at(-1) !== '..') parts.pop();
    else if (!pattern.startsWith('/')) parts.push(part);
  }
  return parts.join('/') || '.';
}
