/** Quoted text as Go's programs print and read it: `%q`, and records of encoding/csv. These functions are pure. */

/** Quotes a text as Go's %q does: printable characters stay as they are, the rest is escaped. */
export function goQuote(text: string): string {
  let quoted = '"';
  for (const character of text) {
    const code = character.codePointAt(0)!;
    if (character === '"' || character === '\\') quoted += `\\${character}`;
    else if (ESCAPES[character] !== undefined) quoted += ESCAPES[character];
    else if (code < 0x20 || code === 0x7f) quoted += `\\x${code.toString(16).padStart(2, '0')}`;
    else if ((code >= 0x80 && code < 0xa0) || code === 0xad) quoted += `\\u${code.toString(16).padStart(4, '0')}`;
    else quoted += character;
  }
  return `${quoted}"`;
}

const ESCAPES: Record<string, string> = {
  '\x07': '\\a',
  '\b': '\\b',
  '\f': '\\f',
  '\n': '\\n',
  '\r': '\\r',
  '\t': '\\t',
  '\v': '\\v',
};

/**
 * Parses one CSV record (RFC 4180): commas separate fields, `"` surrounds a field that has a comma, `""` is a quote in
 * it.
 */
export function parseCsvRecord(text: string): string[] {
  if (text === '') throw new Error('EOF');
  const fields: string[] = [];
  let index = 0;
  for (;;) {
    if (text[index] === '"') {
      let field = '';
      index++;
      for (;;) {
        const quote = text.indexOf('"', index);
        if (quote === -1)
          throw new Error(`parse error on line 1, column ${text.length + 1}: extraneous or missing " in quoted-field`);
        field += text.slice(index, quote);
        index = quote + 1;
        if (text[index] !== '"') break;
        field += '"';
        index++;
      }
      if (index < text.length && text[index] !== ',')
        throw new Error(`parse error on line 1, column ${index + 1}: extraneous or missing " in quoted-field`);
      fields.push(field);
    } else {
      const comma = text.indexOf(',', index);
      const end = comma === -1 ? text.length : comma;
      const field = text.slice(index, end);
      const quote = field.indexOf('"');
      if (quote !== -1)
        throw new Error(`parse error on line 1, column ${index + quote + 1}: bare " in non-quoted-field`);
      fields.push(field);
      index = end;
    }
    if (index >= text.length) return fields;
    index++;
    if (index === text.length) return [...fields, ''];
  }
}
