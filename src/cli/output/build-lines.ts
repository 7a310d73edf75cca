/**
 * Lines of what a step prints, out of pieces that end anywhere. Memory is bounded: a line that does not end is given on
 * in pieces.
 */
import { StringDecoder } from 'node:string_decoder';

/** limit of characters of a line that has not ended */
const MAX_LINE = 1 << 16;

export class Lines {
  readonly #onLine: (line: string) => void;
  /** one for each stream, as their pieces come in turns */
  readonly #streams = new Map<string, { decoder: StringDecoder; rest: string }>();

  constructor(onLine: (line: string) => void) {
    this.#onLine = onLine;
  }

  push(stream: string, data: Uint8Array): void {
    let state = this.#streams.get(stream);
    if (!state) this.#streams.set(stream, (state = { decoder: new StringDecoder('utf8'), rest: '' }));
    const lines = (state.rest + state.decoder.write(Buffer.from(data.buffer, data.byteOffset, data.length))).split(
      '\n',
    );
    state.rest = lines.pop()!;
    for (const line of lines) this.#onLine(line.endsWith('\r') ? line.slice(0, -1) : line);
    while (state.rest.length > MAX_LINE) {
      this.#onLine(state.rest.slice(0, MAX_LINE));
      state.rest = state.rest.slice(MAX_LINE);
    }
  }

  /** The step has ended: what has no line end is a line too. */
  end(): void {
    for (const { decoder, rest } of this.#streams.values()) {
      const last = rest + decoder.end();
      if (last !== '') this.#onLine(last);
    }
    this.#streams.clear();
  }
}
