/**
 * Names, labels, statuses and error texts come from images, registries and containers: on a terminal an escape sequence in
 * them could retitle it, move its cursor or type for the person (the attack: a label with OSC or CSI bytes). What goes to a
 * terminal passes through here. `logs`, `attach` and templates into a pipe are raw by nature.
 */

/** C0 without \n and \t, DEL, C1, and the bidi overrides that reorder what is seen */
const UNSAFE = /[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]/g;
const UNSAFE_IN_LINE = /[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]/g;

/**
 * @param options.lines keep line breaks and tabs
 * @returns the text with each unsafe character as U+FFFD when `output` is a terminal, else the text itself
 */
export function printable(text: string, output: { isTTY?: boolean }, options: { lines?: boolean } = {}): string {
  if (!output.isTTY) return text;
  return text.replace(options.lines ? UNSAFE : UNSAFE_IN_LINE, '\uFFFD');
}
