/**
 * Gathers lines for two outputs into large writes while they arrive together, and writes them in their order. Lines
 * that wait are written at the end of the event loop's turn, so that nothing is shown late.
 */
import type { Output } from '../grammar/command.ts';

/** bytes (of text roughly characters) that are written at once */
const ENOUGH = 64 * 1024;

export class GatheredLines {
  #output: Output | undefined;
  #parts: Uint8Array[] = [];
  #text = '';
  #scheduled: NodeJS.Immediate | undefined;

  /** @returns a promise to await where an output is full, so that its writer waits */
  add(output: Output, line: string | Uint8Array): Promise<void> | undefined {
    const before = output === this.#output ? undefined : this.flush();
    this.#output = output;
    if (typeof line === 'string') this.#text += line;
    else this.#parts.push(Buffer.from(this.#take()), line);
    this.#scheduled ??= setImmediate(() => void this.flush());
    if (this.#text.length >= ENOUGH || this.#parts.length > 0) return this.flush();
    return before;
  }

  /** @returns a promise while the output is full */
  flush(): Promise<void> | undefined {
    clearImmediate(this.#scheduled);
    this.#scheduled = undefined;
    const output = this.#output;
    const bytes =
      this.#parts.length === 0 ? this.#take() : Buffer.concat([...this.#parts.splice(0), Buffer.from(this.#take())]);
    if (!output || bytes.length === 0 || output.write(bytes)) return undefined;
    return new Promise((resolve) => output.once('drain', () => resolve()));
  }

  #take(): string {
    const text = this.#text;
    this.#text = '';
    return text;
  }
}
