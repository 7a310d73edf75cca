/** The last lines of the guest's console, for the error of a machine that died. Bounded; control characters replaced: a guest wrote it. */

/** lines and bytes kept */
const MAX_LINES = 20;
const MAX_LINE = 300;

export class ConsoleTail {
  #lines: string[] = [];
  #open = '';

  push(bytes: Uint8Array): void {
    for (const byte of bytes) {
      if (byte === 0x0a) this.#end();
      else if (byte !== 0x0d && this.#open.length < MAX_LINE) this.#open += byte >= 0x20 && byte < 0x7f ? String.fromCharCode(byte) : '?';
    }
  }

  #end(): void {
    this.#lines.push(this.#open);
    this.#open = '';
    if (this.#lines.length > MAX_LINES) this.#lines.shift();
  }

  lines(): string[] {
    return this.#open === '' ? [...this.#lines] : [...this.#lines, this.#open];
  }
}
