/**
 * Words of Dockerfile instructions as Docker's own shell lexer reads them: splitting at spaces outside quotes, quote
 * removal, backslash, `$NAME`, `${NAME}`, `${NAME:-word}`, `${NAME-word}`, `${NAME:+word}`, `${NAME+word}`. Pure. Never
 * runs anything: there is no `$(…)`.
 */
import { HuskError } from '../../errors.ts';

const invalid = (message: string) => new HuskError(message, { kind: 'invalid' });

/** `${…}` within `${…}`: deeper texts are refused */
const MAX_DEPTH = 32;

/** Splits at spaces outside quotes; quotes and backslashes stay where they are. */
export function splitWords(text: string): string[] {
  const words: string[] = [];
  let word = '';
  let quote = '';
  let inWord = false;
  for (let at = 0; at < text.length; at++) {
    const character = text[at]!;
    if (quote === '' && /\s/.test(character)) {
      if (inWord) words.push(word);
      [word, inWord] = ['', false];
      continue;
    }
    inWord = true;
    word += character;
    if (character === '\\' && quote !== "'") {
      if (at + 1 < text.length) word += text[++at]!;
    } else if (quote === '') {
      if (character === '"' || character === "'") quote = character;
    } else if (character === quote) {
      quote = '';
    }
  }
  if (inWord) words.push(word);
  return words;
}

/**
 * Removes quotes and puts in variables.
 * @param variables names to values; one that is not there is empty
 * @throws HuskError `invalid` for a quote or brace that does not end
 */
export function expandWord(text: string, variables: ReadonlyMap<string, string>): string {
  const scanner = new Scanner(text, variables);
  return scanner.until('', 0);
}

class Scanner {
  #text: string;
  #variables: ReadonlyMap<string, string>;
  #at = 0;

  constructor(text: string, variables: ReadonlyMap<string, string>) {
    this.#text = text;
    this.#variables = variables;
  }

  /** up to and with the closing character; '' is the end of the text */
  until(close: string, depth: number): string {
    if (depth > MAX_DEPTH) throw invalid('too many braces within each other');
    let result = '';
    while (this.#at < this.#text.length) {
      const character = this.#text[this.#at++]!;
      if (character === close) return result;
      if (character === "'") result += this.#single();
      else if (character === '"') result += this.#double(depth);
      else if (character === '$') result += this.#variable(depth);
      // a backslash at the very end stands for itself
      else if (character === '\\') result += this.#text[this.#at++] ?? '\\';
      else result += character;
    }
    if (close !== '')
      throw invalid(`unexpected end of statement while looking for matching ${close === '}' ? 'brace' : 'quote'}`);
    return result;
  }

  #single(): string {
    const end = this.#text.indexOf("'", this.#at);
    if (end === -1) throw invalid('unexpected end of statement while looking for matching single-quote');
    const inside = this.#text.slice(this.#at, end);
    this.#at = end + 1;
    return inside;
  }

  #double(depth: number): string {
    let result = '';
    while (this.#at < this.#text.length) {
      const character = this.#text[this.#at++]!;
      if (character === '"') return result;
      if (character === '$') {
        result += this.#variable(depth);
      } else if (character === '\\') {
        const next = this.#text[this.#at];
        // POSIX: within double quotes a backslash quotes these three only
        if (next === '"' || next === '$' || next === '\\') this.#at++;
        result += next === '"' || next === '$' || next === '\\' ? next : character;
      } else {
        result += character;
      }
    }
    throw invalid('unexpected end of statement while looking for matching double-quote');
  }

  /** behind the `$` */
  #variable(depth: number): string {
    if (this.#text[this.#at] !== '{') {
      const name = this.#name();
      return name === '' ? '$' : (this.#variables.get(name) ?? '');
    }
    this.#at++;
    const name = this.#name();
    if (name === '') throw invalid('syntax error: bad substitution');
    let operator = this.#text[this.#at++];
    if (operator === '}') return this.#variables.get(name) ?? '';
    const emptyIsUnset = operator === ':';
    if (emptyIsUnset) operator = this.#text[this.#at++];
    if (operator !== '-' && operator !== '+' && operator !== '?')
      throw invalid(`unsupported modifier (${operator ?? ''}) in substitution`);
    const word = this.until('}', depth + 1);
    const value = this.#variables.get(name);
    const isSet = value !== undefined && !(emptyIsUnset && value === '');
    if (operator === '+') return isSet ? word : '';
    if (operator === '?' && !isSet) throw invalid(`${name}: ${word || 'not allowed to be unset'}`);
    return isSet ? value : word;
  }

  /** a name, or one of the shell's one-digit parameters */
  #name(): string {
    const pattern = /[A-Za-z_]\w*|\d/y;
    pattern.lastIndex = this.#at;
    const name = pattern.exec(this.#text)?.[0] ?? '';
    this.#at += name.length;
    return name;
  }
}
