/**
 * Lines of a Dockerfile: parser directives, comments, continuation, and the lines of here-documents. Bytes in, texts
 * with their line numbers out; what an instruction is, is not known here.
 *
 * Source: the Dockerfile reference § Parser directives, § Format; BuildKit's parser for what it leaves open.
 */
import { isUtf8 } from 'node:buffer';
import { BuildError, type SourceRange } from '../operations.ts';
import type { Escape } from './words.ts';

/** bytes of a Dockerfile; BuildKit bounds its lines instead (64 KiB) */
const MAX_DOCKERFILE = 16 << 20;
/** characters of a name that an error shows */
const MAX_SHOWN = 200;
/** lines of a Dockerfile: each costs an entry of a list */
const MAX_LINES = 1 << 20;

/** what a decoder writes for bytes that are none */
const REPLACEMENT = '\ufffd';

const DIRECTIVE = /^#[ \t]*([a-zA-Z][a-zA-Z0-9]*)[ \t]*=[ \t]*(\S(?:.*\S)?)\s*$/;
const DIRECTIVES = new Set(['escape', 'syntax', 'check']);
/** An escape at the line's end, blanks may follow; a doubled one is a character. */
const CONTINUED = { '\\': /(^|[^\\])\\[ \t]*$/, '`': /(^|[^`])`[ \t]*$/ };
/** end of the names of Docker's own frontend, which is what this program has built in */
const STANDARD_FRONTEND = /^(?:[a-z0-9.:-]+\/)*docker\/dockerfile(?:-upstream)?(?:[:@].*)?$/;

/** What one or several physical lines are, once they are joined. */
export interface LogicalLine {
  text: string;
  range: SourceRange;
  /** comments directly above, without `#` and blanks */
  comments: string[];
  /** whether an empty line stands within the continuation */
  emptyContinuation: boolean;
}

export interface Directives {
  escape: Escape;
  /** value of `# check=` */
  check?: string;
  checkRange?: SourceRange;
}

/** Reads a Dockerfile from top to bottom. */
export class LineReader {
  /** physical lines as excerpts show them */
  readonly lines: string[];
  readonly directives: Directives = { escape: '\\' };
  readonly #count: number;
  /** whether there are bytes that are no UTF-8 */
  readonly #isDamaged: boolean;
  #at = 0;
  #directivesDone = false;
  readonly #seen = new Set<string>();

  /** @throws BuildError `limit` for a file beyond all measure */
  constructor(bytes: Uint8Array) {
    if (bytes.length > MAX_DOCKERFILE)
      throw new BuildError(`the Dockerfile has ${bytes.length} bytes: more than ${MAX_DOCKERFILE}`, { kind: 'limit' });
    const text = new TextDecoder('utf-8').decode(bytes);
    this.#isDamaged = text.includes(REPLACEMENT) && !isUtf8(bytes);
    this.lines = text.split('\n', MAX_LINES + 2);
    if (this.lines.length > MAX_LINES + 1)
      throw new BuildError(`the Dockerfile has more than ${MAX_LINES} lines`, { kind: 'limit' });
    // What stands behind the last line feed is a line only if it has a character.
    this.#count = this.lines.at(-1) === '' ? this.lines.length - 1 : this.lines.length;
  }

  /** @returns the next instruction's line; undefined at the end */
  next(): LogicalLine | undefined {
    let comments: string[] = [];
    while (this.#at < this.#count) {
      const line = trimEnd(this.lines[this.#at]!).trimStart();
      this.#directive(line);
      const start = ++this.#at;
      if (line.startsWith('#')) {
        comments.push(line.slice(1).trim());
        continue;
      }
      if (line === '') {
        comments = [];
        continue;
      }
      let [text, isContinued] = this.#withoutEscape(line);
      let emptyContinuation = false;
      while (isContinued && this.#at < this.#count) {
        const more = trimEnd(this.lines[this.#at++]!);
        const trimmed = more.trimStart();
        if (trimmed.startsWith('#')) continue;
        if (trimmed === '') {
          emptyContinuation = true;
          continue;
        }
        let part: string;
        [part, isContinued] = this.#withoutEscape(more);
        text += part;
      }
      if (text.trim() === '') continue;
      const range = { start, end: this.#at };
      this.#check(text, range);
      return { text, range, comments, emptyContinuation };
    }
    return undefined;
  }

  /**
   * Reads the lines of a here-document up to its terminator.
   * @param tabs whether tabs before the terminator are skipped
   * @returns the lines with their ends as they are; undefined when there is no terminator
   */
  hereDocument(terminator: string, tabs: boolean): string | undefined {
    const start = this.#at;
    while (this.#at < this.#count) {
      const line = trimEnd(this.lines[this.#at++]!);
      if ((tabs ? line.replace(/^\t+/, '') : line) !== terminator) continue;
      const body = this.lines.slice(start, this.#at - 1).join('\n');
      this.#check(body, { start: start + 1, end: this.#at });
      return this.#at - 1 === start ? '' : `${body}\n`;
    }
    return undefined;
  }

  /** number of the last line that was read */
  get line(): number {
    return this.#at;
  }

  /** Bytes that are no UTF-8 stand in comments of old files, and do no harm; elsewhere they would be lost. */
  #check(text: string, range: SourceRange): void {
    if (this.#isDamaged && text.includes(REPLACEMENT))
      throw new BuildError('cannot read this line: it has bytes that are no UTF-8', {
        kind: 'invalid',
        range,
        fix: 'save the file as UTF-8, or COPY a file that has these bytes',
      });
  }

  #withoutEscape(line: string): [text: string, isContinued: boolean] {
    const match = CONTINUED[this.directives.escape].exec(line);
    return match ? [line.slice(0, match.index) + match[1]!, true] : [line, false];
  }

  /** Directives stand before everything else; an unknown one, a blank line or a plain comment ends them. */
  #directive(line: string): void {
    if (this.#directivesDone) return;
    const match = DIRECTIVE.exec(line);
    const name = match?.[1]!.toLowerCase() ?? '';
    if (!match || !DIRECTIVES.has(name)) {
      this.#directivesDone = true;
      return;
    }
    const range = { start: this.#at + 1, end: this.#at + 1 };
    const value = match[2]!;
    if (this.#seen.has(name))
      throw new BuildError(`only one ${name} parser directive can be used`, { kind: 'invalid', range });
    this.#seen.add(name);
    if (name === 'escape') {
      if (value !== '\\' && value !== '`')
        throw new BuildError(`invalid escape token '${value}' does not match \` or \\`, { kind: 'invalid', range });
      this.directives.escape = value;
    } else if (name === 'check') {
      this.directives.check = value;
      this.directives.checkRange = range;
    } else {
      checkFrontend(value, range);
    }
  }
}

/**
 * Refuses every frontend but Docker's own.
 * @param range of the directive
 * @throws BuildError `unsupported`
 */
export function checkFrontend(name: string, range?: SourceRange): void {
  if (STANDARD_FRONTEND.test(name)) return;
  throw new BuildError(`cannot use the frontend ${name.slice(0, MAX_SHOWN)}: only Docker's own is built in`, {
    kind: 'unsupported',
    range,
    fix: range ? 'remove the line, or write # syntax=docker/dockerfile:1' : 'leave BUILDKIT_SYNTAX out',
  });
}

/** Takes off carriage returns at the line's end. */
function trimEnd(line: string): string {
  let end = line.length;
  while (end > 0 && line[end - 1] === '\r') end--;
  return end === line.length ? line : line.slice(0, end);
}
