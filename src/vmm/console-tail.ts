/**
 * Keeps the last lines of the guest's console, for the error of a machine that died. Because the guest writes them,
 * their number and length are bounded and control characters are replaced.
 */

/** lines that are kept, and bytes of each */
const MAX_LINES = 12;
const MAX_LINE = 300;
/** how kernel/panic.c begins its line; the call trace after it is longer than what is kept */
const PANIC = 'Kernel panic - not syncing: ';

export class ConsoleTail {
  #lines: string[] = [];
  #open = '';
  #panic: string | undefined;

  push(bytes: Uint8Array): void {
    for (const byte of bytes) {
      if (byte === 0x0a) this.#end();
      else if (byte !== 0x0d && this.#open.length < MAX_LINE)
        this.#open += byte >= 0x20 && byte < 0x7f ? String.fromCharCode(byte) : '?';
    }
  }

  #end(): void {
    this.#lines.push(this.#open);
    const at = this.#open.indexOf(PANIC);
    if (at >= 0) this.#panic ??= this.#open.slice(at + PANIC.length);
    this.#open = '';
    if (this.#lines.length > MAX_LINES) this.#lines.shift();
  }

  /** the reason of a kernel panic, in the kernel's own words */
  get panic(): string | undefined {
    return this.#panic;
  }

  lines(): string[] {
    return this.#open === '' ? [...this.#lines] : [...this.#lines, this.#open];
  }
}
