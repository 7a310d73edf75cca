/**
 * Words of Dockerfile instructions as Docker's own shell lexer reads them: splitting at spaces outside quotes, quote
 * removal, the escape character, `$NAME`, `${NAME}` and its modifiers. The lexer is pure, and never runs anything:
 * there is no `$(…)`.
 *
 * Source: the Dockerfile reference § Environment replacement; BuildKit's tables stand in
 * test/images/build/corpus/shell.
 */
import { HuskError } from '../../../errors.ts';
import { goQuote } from '../../../notation/quoting.ts';
import { ExpansionBudget } from './budget.ts';
import { replace, trim } from './patterns.ts';

/** limit of `${…}` within `${…}`; deeper texts are refused, for each level is one of this program's calls */
const MAX_DEPTH = 32;
/** characters of a text that an error shows */
const MAX_SHOWN = 200;
/** What Go's unicode.IsSpace takes for a space. */
const SPACE = /[\t\n\v\f\r \u0085\u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]/;
const SPACES = new RegExp(`${SPACE.source}+`);
/** characters that mean nothing, wherever they stand */
const PLAIN = /[^$'"\\`}/]+/y;
/** a name, or one of the shell's parameters, which a Dockerfile never sets */
const NAME = /\d+|[@*#?\-$!]|[\p{L}_][\p{L}\p{Nd}_]*/uy;

export type Escape = '\\' | '`';

export interface LexerOptions {
  escape: Escape;
  /** values by name; a name that is not there has an empty value */
  variables: { get(name: string): string | undefined };
  /** leaves quotes where they are, but honours them */
  rawQuotes?: boolean;
  /** leaves escape characters where they are */
  rawEscapes?: boolean;
  /** quotes are characters like any other */
  plainQuotes?: boolean;
  /** leaves `$name` as it is where there is no such variable */
  keepUnset?: boolean;
  budget?: ExpansionBudget;
}

export interface Expansion {
  text: string;
  /** the text split at spaces, also those that variables bring, but not those in quotes */
  words: string[];
  /** names that had a value */
  used: Set<string>;
  /** names that had none */
  unset: Set<string>;
}

const invalid = (message: string, kind: 'invalid' | 'limit' = 'invalid') => new HuskError(message, { kind });

/**
 * Removes quotes and replaces variables by their values.
 * @throws HuskError `invalid` for a quote or brace that does not end, `limit` for an expansion beyond all measure
 */
export function expand(text: string, options: LexerOptions): Expansion {
  const lexer = new Lexer(text, options);
  try {
    return lexer.run();
  } catch (error) {
    if (!(error instanceof HuskError) || error.kind === 'limit') throw error;
    const shown = text.length > MAX_SHOWN ? `${text.slice(0, MAX_SHOWN)}…` : text;
    throw new HuskError(`failed to process ${goQuote(shown)}: ${error.message}`, { kind: 'invalid', cause: error });
  }
}

/** Collects words while a text is expanded. */
class Words {
  readonly words: string[] = [];
  #word = '';
  #inWord = false;

  /** Adds text in which spaces end words. */
  add(text: string): void {
    for (const [index, piece] of text.split(SPACES).entries()) {
      if (index > 0 && this.#inWord && this.#word !== '') {
        this.words.push(this.#word);
        [this.#word, this.#inWord] = ['', false];
      }
      if (piece !== '') this.addRaw(piece);
    }
  }

  /** Adds text in which spaces are characters of the word. */
  addRaw(text: string): void {
    this.#word += text;
    this.#inWord = true;
  }

  end(): string[] {
    if (this.#word !== '') this.words.push(this.#word);
    this.#word = '';
    return this.words;
  }
}

class Lexer {
  readonly #text: string;
  readonly #options: LexerOptions;
  readonly #budget: ExpansionBudget;
  readonly #used = new Set<string>();
  readonly #unset = new Set<string>();
  #at = 0;
  #grown = 0;
  #depth = 0;
  #rawEscapes: boolean;

  constructor(text: string, options: LexerOptions) {
    this.#text = text;
    this.#options = options;
    this.#budget = options.budget ?? new ExpansionBudget();
    this.#rawEscapes = options.rawEscapes ?? false;
  }

  run(): Expansion {
    const words = new Words();
    const text = this.#until('', words);
    return { text, words: words.end(), used: this.#used, unset: this.#unset };
  }

  /** Reads up to the closing character and skips that; '' stands for the end of the text. */
  #until(close: string, words?: Words): string {
    const { escape, plainQuotes } = this.#options;
    let result = '';
    while (this.#at < this.#text.length) {
      const character = this.#text[this.#at]!;
      if (character === close) {
        this.#at++;
        return result;
      }
      if (character === '$') {
        const value = this.#dollar();
        result += value;
        words?.add(value);
      } else if (!plainQuotes && (character === "'" || character === '"')) {
        const quoted = character === "'" ? this.#single() : this.#double();
        result += quoted;
        words?.addRaw(quoted);
      } else if (character === escape) {
        this.#at++;
        // An escape at the very end of a word means nothing.
        const next = this.#character();
        const kept = (this.#rawEscapes ? escape : '') + next;
        result += kept;
        if (kept !== '') words?.addRaw(kept);
      } else {
        const plain = this.#plain();
        result += plain;
        words?.add(plain);
      }
    }
    if (close !== '') throw invalid(`syntax error: missing '${close}'`);
    return result;
  }

  /** Takes the next character, a whole one where it is two code units. @returns '' at the end */
  #character(): string {
    const code = this.#text.codePointAt(this.#at);
    if (code === undefined) return '';
    const character = String.fromCodePoint(code);
    this.#at += character.length;
    return character;
  }

  /** Takes characters up to one that may mean something; at least one. */
  #plain(): string {
    PLAIN.lastIndex = this.#at;
    const plain = PLAIN.exec(this.#text)?.[0];
    if (plain === undefined) return this.#character();
    this.#at += plain.length;
    return plain;
  }

  #single(): string {
    const start = this.#at;
    const end = this.#text.indexOf("'", start + 1);
    if (end === -1) throw invalid('unexpected end of statement while looking for matching single-quote');
    this.#at = end + 1;
    return this.#options.rawQuotes ? this.#text.slice(start, end + 1) : this.#text.slice(start + 1, end);
  }

  #double(): string {
    const { escape, rawQuotes } = this.#options;
    const quote = rawQuotes ? '"' : '';
    let result = quote;
    this.#at++;
    while (this.#at < this.#text.length) {
      const character = this.#text[this.#at]!;
      if (character === '"') {
        this.#at++;
        return result + quote;
      }
      if (character === '$') {
        result += this.#dollar();
        continue;
      }
      if (character !== escape) {
        result += this.#plain();
        continue;
      }
      this.#at++;
      if (this.#rawEscapes) result += escape;
      const next = this.#text[this.#at];
      if (next === undefined) break;
      // Within double quotes these three can be escaped; elsewhere the escape character stands for itself.
      if (next === '"' || next === '$' || next === escape) this.#at++;
      result += next === '"' || next === '$' || next === escape ? next : escape;
    }
    throw invalid('unexpected end of statement while looking for matching double-quote');
  }

  /** Expands a variable. */
  #dollar(): string {
    const start = this.#at++;
    if (this.#text[this.#at] !== '{') {
      const name = this.#name();
      return name === '' ? '$' : this.#made(this.#value(name) ?? (this.#options.keepUnset ? `$${name}` : ''));
    }
    this.#at++;
    if (this.#at >= this.#text.length) throw invalid("syntax error: missing '}'");
    const name = this.#name();
    if (name === '') throw invalid('syntax error: bad substitution');
    if (++this.#depth > MAX_DEPTH) throw invalid(`more than ${MAX_DEPTH} braces within each other`, 'limit');
    const expanded = this.#braced(name);
    this.#depth--;
    const kept = this.#options.keepUnset && this.#options.variables.get(name) === undefined;
    return kept ? this.#text.slice(start, this.#at) : this.#made(expanded);
  }

  /** Expands what stands in braces behind a name. */
  #braced(name: string): string {
    let operator = this.#text[this.#at++];
    if (operator === undefined) throw invalid("syntax error: missing '}'");
    if (operator === '}') return this.#value(name) ?? '';
    if (operator === '/') return this.#substituted(name);
    let shown = operator;
    const emptyIsUnset = operator === ':';
    if (emptyIsUnset) {
      operator = this.#text[this.#at++];
      shown += operator ?? '';
    }
    if (operator === undefined || !'-+?#%'.includes(operator))
      throw invalid(`unsupported modifier (${shown}) in substitution`);
    const word = this.#raw(operator === '#' || operator === '%', () => this.#until('}'));
    const value = this.#value(name);
    const isSet = value !== undefined && !(emptyIsUnset && value === '');
    if (operator === '-') return isSet ? value : word;
    if (operator === '+') return isSet ? word : '';
    if (operator === '?') {
      if (isSet) return value;
      if (this.#options.keepUnset && value === undefined) return '';
      throw invalid(`${name}: ${word || `is not allowed to be ${value === undefined ? 'unset' : 'empty'}`}`);
    }
    const longest = word.startsWith(operator);
    const side = operator === '#' ? 'prefix' : 'suffix';
    return trim(value ?? '', longest ? word.slice(1) : word, side, longest, this.#budget);
  }

  /** Expands `${name/pattern/replacement}`; the first slash has been read. */
  #substituted(name: string): string {
    const all = this.#text[this.#at] === '/';
    if (all) this.#at++;
    const pattern = this.#raw(true, () => this.#until('/'));
    const replacement = this.#raw(true, () => this.#until('}'));
    return replace(this.#value(name) ?? '', pattern, replacement, all, this.#budget);
  }

  #raw<T>(rawEscapes: boolean, read: () => T): T {
    const before = this.#rawEscapes;
    this.#rawEscapes = rawEscapes;
    const result = read();
    this.#rawEscapes = before;
    return result;
  }

  /** Counts what a variable has made. */
  #made(text: string): string {
    this.#grown += text.length;
    this.#budget.grow(text.length, this.#grown);
    return text;
  }

  #value(name: string): string | undefined {
    const value = this.#options.variables.get(name);
    (value === undefined ? this.#unset : this.#used).add(name);
    return value;
  }

  #name(): string {
    NAME.lastIndex = this.#at;
    const name = NAME.exec(this.#text)?.[0] ?? '';
    this.#at += name.length;
    return name;
  }
}

/**
 * Splits a text at spaces outside quotes; quotes and escapes stay where they are, for they mean something when the word
 * is expanded. A quote that does not end is found then.
 */
export function splitWords(text: string, escape: Escape): string[] {
  const words: string[] = [];
  let word = '';
  let quote = '';
  let quoted = false;
  const end = () => {
    if (word !== '' || quoted) words.push(word);
    [word, quoted] = ['', false];
  };
  for (let at = 0; at < text.length; at++) {
    const character = text[at]!;
    if (quote === '' && SPACE.test(character)) {
      end();
      continue;
    }
    if (character === escape && quote !== "'") {
      // An escape at the very end means nothing.
      if (at + 1 === text.length) break;
      word += character + text[++at]!;
      continue;
    }
    word += character;
    if (quote === '' && (character === '"' || character === "'")) [quote, quoted] = [character, true];
    else if (character === quote) quote = '';
  }
  end();
  return words;
}
