/**
 * `--detach-keys`: `ctrl-p,ctrl-q`, single characters, in order. The filter removes the sequence from the input; bytes
 * that may begin it are held back until the next byte decides, as in Docker. This module is pure.
 */
import { HuskError } from '../errors.ts';

const DEFAULT_DETACH_KEYS = 'ctrl-p,ctrl-q';

/** @throws HuskError `invalid` */
export function parseDetachKeys(text: string): Uint8Array {
  const bytes = (text === '' ? DEFAULT_DETACH_KEYS : text).split(',').map((key) => {
    const control = /^ctrl-([a-zA-Z@[\\\]^_])$/.exec(key)?.[1];
    if (control !== undefined) return control.toUpperCase().charCodeAt(0) - 0x40;
    if (/^[\x20-\x7e]$/.test(key)) return key.charCodeAt(0);
    throw new HuskError(`invalid detach keys (${text}) provided: Unknown character: '${key}'`, {
      kind: 'invalid',
      fix: 'use single characters and ctrl-a to ctrl-z, ctrl-@, ctrl-[, ctrl-\\, ctrl-], ctrl-^, ctrl-_, with commas between',
    });
  });
  return Uint8Array.from(bytes);
}

export class DetachFilter {
  readonly #keys: Uint8Array;
  #matched = 0;

  constructor(keys: Uint8Array) {
    this.#keys = keys;
  }

  /**
   * @returns the bytes that go to the container, and whether the sequence was completed (the rest of the input is
   * dropped)
   */
  filter(input: Uint8Array): { output: Uint8Array; detached: boolean } {
    if (this.#matched === 0 && !input.includes(this.#keys[0]!)) return { output: input, detached: false };
    const output: number[] = [];
    for (const byte of input) {
      if (byte !== this.#keys[this.#matched]) {
        output.push(...this.#keys.subarray(0, this.#matched));
        this.#matched = 0;
      }
      if (byte === this.#keys[this.#matched]) {
        if (++this.#matched === this.#keys.length) return { output: Uint8Array.from(output), detached: true };
      } else output.push(byte);
    }
    return { output: Uint8Array.from(output), detached: false };
  }
}
