/**
 * Names, labels, statuses and error texts come from images, registries and containers: on a terminal an escape sequence
 * in them could retitle it, move its cursor or type for the user (the attack: a label with OSC or CSI bytes). All such
 * text passes through this module on its way to a terminal. `logs`, `attach` and templates into a pipe are not changed.
 */

/** C0 without \n and \t, DEL, C1, and the bidi overrides that reorder the visible text */
const UNSAFE = /[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]/g;
const UNSAFE_IN_LINE = /[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]/g;

/**
 * @param options.lines whether to keep line breaks and tabs
 * @returns the text with each unsafe character as U+FFFD when `output` is a terminal, else the text itself
 */
export function printable(text: string, output: { isTTY?: boolean }, options: { lines?: boolean } = {}): string {
  if (!output.isTTY) return text;
  return text.replace(options.lines ? UNSAFE : UNSAFE_IN_LINE, '\uFFFD');
}

/**
 * @returns JSON whose texts and keys are printable, with line breaks and tabs kept, so that a template's output can go
 * to a terminal
 */
export function printableJson(value: unknown, output: { isTTY?: boolean }): unknown {
  if (!output.isTTY) return value;
  if (typeof value === 'string') return printable(value, output, { lines: true });
  if (Array.isArray(value)) return value.map((item) => printableJson(item, output));
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(
    Object.entries(value).map(([key, item]) => [printable(key, output, { lines: true }), printableJson(item, output)]),
  );
}
