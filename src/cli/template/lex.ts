/**
 * The tokens of a Go template: text, actions, trimming, comments. The lexer is pure. Source: the documentation of Go's
 * text/template, and the answers of real clients (test/cli/template).
 */

export class TemplateError extends Error {
  override name = 'TemplateError';
}

export type TokenKind =
  | 'text'
  /** `{{` and `}}` */
  | 'left'
  | 'right'
  | 'space'
  | 'identifier'
  | 'keyword'
  /** `.Name` */
  | 'field'
  /** `$` or `$name` */
  | 'variable'
  | 'dot'
  | 'number'
  | 'character'
  | 'string'
  | 'raw'
  | 'bool'
  | 'nil'
  | 'pipe'
  | '('
  | ')'
  | ','
  | ':='
  | '='
  | 'character-other'
  /**
   * an error, whose message is in `text`; it is reported when the parser reaches it, so that an earlier mistake is
   * named first
   */
  | 'error'
  | 'eof';

export interface Token {
  kind: TokenKind;
  text: string;
  /** offset in the template */
  at: number;
}

const KEYWORDS = new Set(['block', 'break', 'continue', 'define', 'else', 'end', 'if', 'range', 'template', 'with']);
const WORD = /[\p{L}\p{N}_]/u;
/** @returns whether a word, a number or a field may end before this character, or before the end of the input */
const isTerminator = (character: string | undefined): boolean =>
  character === undefined || /[\s.,|:()=]/.test(character);

export function lineOf(source: string, at: number): number {
  let line = 1;
  for (let index = source.indexOf('\n'); index !== -1 && index < at; index = source.indexOf('\n', index + 1)) line++;
  return line;
}

class LexError extends Error {}

/** Splits a template into tokens. It never throws: the last token is `eof` or `error`. */
export function lex(source: string): Token[] {
  const tokens: Token[] = [];
  let at = 0;
  const fail = (message: string, where = at): never => {
    tokens.push({ kind: 'error', text: message, at: where });
    throw new LexError();
  };
  try {
    lexAll();
    tokens.push({ kind: 'eof', text: '', at: source.length });
  } catch (error) {
    if (!(error instanceof LexError)) throw error;
  }
  return tokens;

  function push(kind: TokenKind, start: number): void {
    tokens.push({ kind, text: source.slice(start, at), at: start });
  }

  function lexAll(): void {
    let trimNext = false;
    while (at < source.length) {
      const start = at;
      const open = source.indexOf('{{', at);
      let end = open === -1 ? source.length : open;
      const trimsLeft = open !== -1 && source[open + 2] === '-' && /\s/.test(source[open + 3] ?? '');
      let from = start;
      if (trimNext) while (from < end && /[ \t\r\n]/.test(source[from]!)) from++;
      trimNext = false;
      if (trimsLeft) while (end > from && /[ \t\r\n]/.test(source[end - 1]!)) end--;
      if (end > from) tokens.push({ kind: 'text', text: source.slice(from, end), at: from });
      if (open === -1) break;
      at = open + 2 + (trimsLeft ? 2 : 0);
      if (source.startsWith('/*', at)) {
        const close = source.indexOf('*/', at + 2);
        if (close === -1) fail('unclosed comment', open);
        at = close + 2;
        if (/^\s-\}\}/.test(source.slice(at, at + 4))) {
          trimNext = true;
          at += 4;
        } else if (source.startsWith('}}', at)) at += 2;
        else fail('comment ends before closing delimiter');
        continue;
      }
      tokens.push({ kind: 'left', text: '{{', at: open });
      trimNext = lexAction();
    }
  }

  /** Reads from after `{{` to after `}}`. @returns whether `-}}` trims the text behind it */
  function lexAction(): boolean {
    let depth = 0;
    for (;;) {
      const start = at;
      const character = source[at];
      if (character !== undefined && /\s/.test(character) && source.startsWith('-}}', at + 1)) {
        if (depth > 0) fail('unclosed left paren');
        at += 4;
        tokens.push({ kind: 'right', text: '}}', at: start });
        return true;
      }
      if (source.startsWith('}}', at)) {
        if (depth > 0) fail('unclosed left paren');
        at += 2;
        push('right', start);
        return false;
      }
      if (character === undefined) return fail('unclosed action', source.length);
      if (/[ \t\r\n]/.test(character)) {
        while (/[ \t\r\n]/.test(source[at] ?? '') && !(source.startsWith('-}}', at + 1) && at > start)) at++;
        push('space', start);
      } else if (character === ':') {
        if (source[at + 1] !== '=') fail('expected :=');
        at += 2;
        push(':=', start);
      } else if (character === '=' || character === ',' || character === '(' || character === ')') {
        at++;
        if (character === '(') depth++;
        if (character === ')' && --depth < 0) fail('unexpected right paren');
        push(character, start);
      } else if (character === '|') {
        at++;
        push('pipe', start);
      } else if (character === '"') {
        lexQuoted('"', 'string', 'unterminated quoted string');
      } else if (character === "'") {
        lexQuoted("'", 'character', 'unterminated character constant');
      } else if (character === '`') {
        const close = source.indexOf('`', at + 1);
        if (close === -1) fail('unterminated raw quoted string');
        at = close + 1;
        push('raw', start);
      } else if (character === '$') {
        at++;
        while (WORD.test(source[at] ?? '')) at++;
        endWord(start);
        push('variable', start);
      } else if (character === '.' && !/\d/.test(source[at + 1] ?? '')) {
        at++;
        if (!WORD.test(source[at] ?? '')) push('dot', start);
        else {
          while (WORD.test(source[at] ?? '')) at++;
          endWord(start);
          push('field', start);
        }
      } else if (/[+\-.\d]/.test(character)) {
        lexNumber();
      } else if (WORD.test(character)) {
        while (WORD.test(source[at] ?? '')) at++;
        const word = source.slice(start, at);
        endWord(start);
        push(
          KEYWORDS.has(word)
            ? 'keyword'
            : word === 'true' || word === 'false'
              ? 'bool'
              : word === 'nil'
                ? 'nil'
                : 'identifier',
          start,
        );
      } else if (character >= ' ' && character < '\x7f') {
        at++;
        push('character-other', start);
      } else {
        fail(`unrecognized character in action: ${describe(source.codePointAt(at)!)}`);
      }
    }
  }

  function endWord(_start: number): void {
    if (!isTerminator(source[at]) && !source.startsWith('}}', at))
      fail(`bad character ${describe(source.codePointAt(at)!)}`);
  }

  function lexQuoted(quote: string, kind: TokenKind, problem: string): void {
    const start = at;
    for (at++; source[at] !== quote; at++) {
      if (source[at] === '\\') at++;
      if (at >= source.length || source[at] === '\n') fail(problem);
    }
    at++;
    push(kind, start);
  }

  function lexNumber(): void {
    const start = at;
    const match =
      /^[+-]?(?:0[xX][0-9a-fA-F_]+|0[bB][01_]+|0[oO][0-7_]+|(?:\d[\d_]*\.?[\d_]*|\.\d[\d_]*)(?:[eE][+-]?\d+)?)/.exec(
        source.slice(at, at + 400),
      )?.[0] ?? source[at]!;
    at += match.length;
    if (WORD.test(source[at] ?? '') || !/\d/.test(match)) {
      at++;
      fail(`bad number syntax: ${JSON.stringify(source.slice(start, at))}`);
    }
    push('number', start);
  }
}

/** @returns the text of Go's %#U: `U+0040 '@'` */
function describe(code: number): string {
  const hex = `U+${code.toString(16).toUpperCase().padStart(4, '0')}`;
  return code >= 0x20 && code !== 0x7f ? `${hex} '${String.fromCodePoint(code)}'` : hex;
}
