/** Go's quoted literals. The function is pure. */

const SIMPLE: Record<string, string> = {
  a: '\x07',
  b: '\b',
  f: '\f',
  n: '\n',
  r: '\r',
  t: '\t',
  v: '\v',
  '\\': '\\',
  "'": "'",
  '"': '"',
};

/** @returns the text of a "…", '…' or `…` literal; undefined when an escape is wrong */
export function unquote(literal: string): string | undefined {
  const quote = literal[0];
  const body = literal.slice(1, -1);
  if (quote === '`') return body.replaceAll('\r', '');
  let bad = false;
  const text = body.replace(
    /\\(?:x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|([0-7]{3})|([\s\S])|$)/g,
    (whole, x?: string, u?: string, U?: string, octal?: string, simple?: string) => {
      const hex = x ?? u ?? U;
      if (hex !== undefined && parseInt(hex, 16) <= 0x10ffff) return String.fromCodePoint(parseInt(hex, 16));
      if (octal !== undefined && parseInt(octal, 8) <= 255) return String.fromCharCode(parseInt(octal, 8));
      const value =
        simple === undefined || ((simple === "'" || simple === '"') && simple !== quote) ? undefined : SIMPLE[simple];
      if (value === undefined) bad = true;
      return value ?? whole;
    },
  );
  return bad ? undefined : text;
}
