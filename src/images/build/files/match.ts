/**
 * Patterns of paths: Go's filepath.Match for the sources of a COPY, and the same with `**` for ignore files, as
 * moby/patternmatcher has them. A pattern is matched by following all its possible states at once, in time linear in
 * the subject, whatever the pattern: `**` and `*` in a row would otherwise cost exponential time. The functions are
 * pure; patterns and subjects are text.
 */
import { type ByteString, toBytes } from '../../../tar/byte-string.ts';

/** limit of characters of a pattern: a longer one cannot be meant for a path, which has at most 4095 bytes */
const MAX_PATTERN = 4096;
const SLASH = 0x2f;
const NOT_ASCII = /[^\x00-\x7f]/;

type Token =
  | { kind: 'character'; code: number }
  /** any character but a slash */
  | { kind: 'any' }
  | { kind: 'class'; negated: boolean; ranges: [low: number, high: number][] }
  /** any number of characters but slashes */
  | { kind: 'star' }
  /** any number of characters: `**` at the end */
  | { kind: 'rest' }
  /** any number of whole folders: a `**` that is not at the end */
  | { kind: 'folders' };

/** Says whether a component of a path has a wildcard; `\*` is a star. */
export function hasWildcard(component: string): boolean {
  for (let at = 0; at < component.length; at++) {
    const character = component[at]!;
    if (character === '\\') at++;
    else if (character === '*' || character === '?' || character === '[') return true;
  }
  return false;
}

/** @returns a name as the text that patterns are matched with */
export const asText = (name: ByteString): string => (NOT_ASCII.test(name) ? toBytes(name).toString('utf8') : name);

export class PathPattern {
  readonly #tokens: Token[];
  /** the whole pattern where it has no wildcard */
  readonly #literal: string | undefined;
  /** the text behind a `**` with which the pattern begins, where that has no wildcard */
  readonly #suffix: string | undefined;
  /** the states that are possible before a character and behind it; a state is the index of the token that is next */
  #now: Int32Array;
  #next: Int32Array;
  #count = 0;
  /** for each state the character for which it was last added */
  readonly #marks: Uint32Array;
  #mark = 0;

  /**
   * @param options.deep whether `**` crosses folders; else it means the same as `*`, as in filepath.Match
   * @throws SyntaxError with Go's words
   */
  constructor(pattern: string, options: { deep: boolean }) {
    if (pattern.length > MAX_PATTERN) throw new SyntaxError(`a pattern may have ${MAX_PATTERN} characters`);
    this.#tokens = parsePattern(pattern, options.deep);
    this.#literal = literalOf(this.#tokens);
    this.#suffix = this.#tokens[0]?.kind === 'folders' ? literalOf(this.#tokens.slice(1)) : undefined;
    // Behind the states of the tokens and of the end are those within a folder that `**` passes.
    const states = 2 * (this.#tokens.length + 1);
    this.#now = new Int32Array(states);
    this.#next = new Int32Array(states);
    this.#marks = new Uint32Array(states);
  }

  matches(subject: string): boolean {
    if (this.#literal !== undefined) return subject === this.#literal;
    if (this.#suffix !== undefined) return subject === this.#suffix || subject.endsWith(`/${this.#suffix}`);
    return this.#run(subject, '').includes(this.#tokens.length);
  }

  /** Says whether the pattern can match something below this folder. */
  mayMatchBelow(folder: string): boolean {
    if (this.#literal !== undefined) return this.#literal.startsWith(`${folder}/`);
    return this.#run(folder, '/').length > 0;
  }

  /** @returns the states that are possible behind the subject */
  #run(subject: string, end: string): Int32Array {
    this.#begin();
    this.#add(0);
    for (let at = 0; at < subject.length + end.length && this.#count > 0;) {
      const code = at < subject.length ? subject.codePointAt(at)! : end.charCodeAt(0);
      at += code > 0xffff ? 2 : 1;
      const count = this.#count;
      [this.#now, this.#next] = [this.#next, this.#now];
      this.#begin();
      for (let index = 0; index < count; index++) this.#step(this.#now[index]!, code);
    }
    return this.#next.subarray(0, this.#count);
  }

  #begin(): void {
    this.#mark++;
    this.#count = 0;
  }

  /** Adds a state, and those that it reaches without a character. */
  #add(state: number): void {
    for (let at = state; this.#put(at); at++) {
      const kind = this.#tokens[at]?.kind;
      if (kind !== 'star' && kind !== 'rest' && kind !== 'folders') return;
    }
  }

  #put(state: number): boolean {
    if (this.#marks[state] === this.#mark) return false;
    this.#marks[state] = this.#mark;
    this.#next[this.#count++] = state;
    return true;
  }

  #step(state: number, code: number): void {
    const within = this.#tokens.length + 1;
    const index = state >= within ? state - within : state;
    const token = this.#tokens[index];
    if (token === undefined) return;
    switch (token.kind) {
      case 'star':
        if (code !== SLASH) this.#add(index);
        return;
      case 'rest':
        return this.#add(index);
      case 'folders':
        // What follows begins behind a slash only.
        if (code === SLASH) this.#add(index);
        else this.#put(within + index);
        return;
      default:
        if (accepts(token, code)) this.#add(index + 1);
    }
  }
}

function accepts(token: Token, code: number): boolean {
  if (token.kind === 'character') return code === token.code;
  if (code === SLASH) return false;
  if (token.kind !== 'class') return true;
  return token.ranges.some(([low, high]) => code >= low && code <= high) !== token.negated;
}

function literalOf(tokens: readonly Token[]): string | undefined {
  let literal = '';
  for (const token of tokens) {
    if (token.kind !== 'character') return undefined;
    literal += String.fromCodePoint(token.code);
  }
  return literal;
}

function parsePattern(pattern: string, deep: boolean): Token[] {
  const tokens: Token[] = [];
  let at = 0;
  const next = (): number => {
    const code = pattern.codePointAt(at);
    if (code === undefined) throw new SyntaxError('syntax error in pattern');
    at += code > 0xffff ? 2 : 1;
    return code;
  };
  /** @returns one end of a range, which a bare `-` or `]` cannot be */
  const bound = (): number => {
    if (pattern[at] === '-' || pattern[at] === ']') throw new SyntaxError('syntax error in pattern');
    const code = next();
    return code === 0x5c ? next() : code;
  };
  const characterClass = (): Token => {
    const negated = pattern[at] === '^';
    if (negated) at++;
    const ranges: [number, number][] = [];
    while (ranges.length === 0 || pattern[at] !== ']') {
      const low = bound();
      if (pattern[at] !== '-') ranges.push([low, low]);
      else {
        at++;
        ranges.push([low, bound()]);
      }
    }
    at++;
    return { kind: 'class', negated, ranges };
  };
  while (at < pattern.length) {
    const code = next();
    const character = String.fromCodePoint(code);
    if (character === '*' && deep && pattern[at] === '*') {
      at++;
      if (pattern[at] === '/') at++;
      tokens.push({ kind: at === pattern.length ? 'rest' : 'folders' });
    } else if (character === '*') tokens.push({ kind: 'star' });
    else if (character === '?') tokens.push({ kind: 'any' });
    else if (character === '[') tokens.push(characterClass());
    else tokens.push({ kind: 'character', code: character === '\\' ? next() : code });
  }
  return tokens;
}
