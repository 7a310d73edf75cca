/**
 * JSON as Go writes it: maps by sorted key, objects in their own order, U+2028 and U+2029 escaped, nothing else. The
 * functions are pure.
 */
import { entriesOf, toJson } from './go-value.ts';

/** @param indent spaces, or the text of one step */
export function goJson(value: unknown, indent?: number | string): string {
  return write(value, typeof indent === 'number' ? ' '.repeat(indent) : indent, '\n').replace(
    /[\u2028\u2029]/g,
    (character) => `\\u${character.charCodeAt(0).toString(16)}`,
  );
}

/** Writes one value. JSON.stringify is not used for objects, because it would put keys that look like numbers first. */
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
 * Writes a row of a list, or rows, as Docker's lists do: the characters of HTML markup are escaped there. docker/cli
 * formatter.MarshalJSON, which uses json.Marshal
 */
export function goRowJson(row: Record<string, unknown> | readonly unknown[], indent?: number | string): string {
  return goJson(row, indent).replace(/[<>&]/g, (character) => `\\u00${character.charCodeAt(0).toString(16)}`);
}
