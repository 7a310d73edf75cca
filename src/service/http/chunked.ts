/**
 * The chunked coding (RFC 9112 §7.1) of a body that stands before a stream: docker-java sends the options of
 * exec/start so. Node's parser decodes all other bodies. Strict: no extensions, no trailers, no bare line feeds.
 */
import { HuskError } from '../../errors.ts';

/** a line of a chunk's size without its end: 8 digits at most; 8 MiB have 6 */
const SIZE_BEGINS = /^[0-9a-fA-F]{0,8}\r?$/;

type Expected = 'size' | 'data' | 'data end' | 'last end';

export class ChunkedBody {
  readonly body: Buffer[] = [];
  readonly #limit: number;
  #expected: Expected = 'size';
  #line = '';
  #missing = 0;
  #total = 0;
  #done = false;

  /** @param limit bytes of the decoded body */
  constructor(limit: number) {
    this.#limit = limit;
  }

  get done(): boolean {
    return this.#done;
  }

  /** @returns how many of the bytes belong to the body @throws HuskError `invalid` */
  take(bytes: Buffer): number {
    let at = 0;
    while (at < bytes.length && !this.#done) {
      if (this.#expected === 'data') at += this.#data(bytes.subarray(at));
      else this.#character(bytes[at++]!);
    }
    return at;
  }

  #data(bytes: Buffer): number {
    const taken = Math.min(this.#missing, bytes.length);
    this.body.push(bytes.subarray(0, taken));
    this.#missing -= taken;
    if (this.#missing === 0) this.#expected = 'data end';
    return taken;
  }

  #character(byte: number): void {
    this.#line += String.fromCharCode(byte);
    if (!this.#line.endsWith('\r\n')) {
      // What can become no line any more is refused now: nobody waits for its end.
      const begins = this.#expected === 'size' ? SIZE_BEGINS : /^\r$/;
      if (!begins.test(this.#line)) throw malformed();
      return;
    }
    const line = this.#line.slice(0, -2);
    this.#line = '';
    if (this.#expected === 'size') return this.#size(line);
    if (line !== '') throw malformed();
    this.#done = this.#expected === 'last end';
    this.#expected = 'size';
  }

  #size(line: string): void {
    if (!/^[0-9a-fA-F]{1,8}$/.test(line)) throw malformed();
    this.#missing = Number.parseInt(line, 16);
    this.#total += this.#missing;
    if (this.#total > this.#limit)
      throw new HuskError(`the body is larger than ${this.#limit >> 20} MiB`, { kind: 'invalid' });
    this.#expected = this.#missing === 0 ? 'last end' : 'data';
  }
}

const malformed = (): HuskError => new HuskError('malformed chunked coding of the body', { kind: 'invalid' });
