/** JSON as Go writes it: Maps by sorted key, objects in their own order, U+2028/9 escaped, nothing else. Pure. */
import { entriesOf, toJson } from './go-value.ts';

export function goJson(value: unknown, indent?: number): string {
  return write(value, indent === undefined ? undefined : ' '.repeat(indent), '\n').replace(
    /[\u2028\u2029]/g,
    (character) => `\\u${character.charCodeAt(0).toString(16)}`,
  );
}

/** JSON.stringify would put keys that look like numbers first. */
function write(item: unknown, indent: string | undefined, line: string): string {
  const value = toJson(item);
  if (typeof value !== 'object' || value === null) return JSON.stringify(value) ?? 'null';
  if ('toJSON' in value) return JSON.stringify(value);
  const below = `${line}${indent ?? ''}`;
  const wrap = (open: string, members: string[], close: string): string => {
    if (members.length === 0) return open + close;
    return indent === undefined
      ? `${open}${members.join(',')}${close}`
      : `${open}${below}${members.join(`,${below}`)}${line}${close}`;
  };
  if (Array.isArray(value))
    return wrap(
      '[',
      value.map((each) => write(each, indent, below)),
      ']',
    );
  const entries =
    entriesOf(value) ?? Object.entries(value).filter(([, each]) => each !== undefined && typeof each !== 'function');
  return wrap(
    '{',
    entries.map(
      ([key, each]) => `${JSON.stringify(key)}:${indent === undefined ? '' : ' '}${write(each, indent, below)}`,
    ),
    '}',
  );
}

/**
 * A list's row, or rows, as Docker's lists write one: what is markup in HTML is escaped there. docker/cli
 * formatter.MarshalJSON, which goes through json.Marshal
 */
export function goRowJson(row: Record<string, unknown> | readonly unknown[]): string {
  return goJson(row).replace(/[<>&]/g, (character) => `\\u00${character.charCodeAt(0).toString(16)}`);
}
