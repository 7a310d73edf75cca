/** The functions of templates: Go's and Docker's. They are pure. A thrown Error becomes `error calling NAME: …`. */
import { entriesOf, entryOf, GoValue, indirect, isNil, itemsOf, underlying, view } from './go-value.ts';
import { goJson, goRowJson } from './json.ts';
import { formatValue, sprint, sprintf } from './printf.ts';
import { isObject, isTrue, typeName } from './values.ts';

export interface TemplateFunction {
  minimum: number;
  maximum: number;
  /** positions whose values must be strings */
  strings?: readonly number[];
  /** positions whose values must be lists of strings */
  lists?: readonly number[];
  call(...values: never[]): unknown;
}

/** limit of characters of a function's result */
export const MAX_TEXT = 64 << 20;

const fixed = (
  count: number,
  call: (...values: never[]) => unknown,
  strings: readonly number[] = [],
): TemplateFunction => ({ minimum: count, maximum: count, call, strings });
const any = (
  minimum: number,
  call: (...values: never[]) => unknown,
  strings: readonly number[] = [],
): TemplateFunction => ({ minimum, maximum: Number.POSITIVE_INFINITY, call, strings });

function length(item: unknown): number {
  if (item === null || item === undefined) throw new Error('len of nil pointer');
  const value = underlying(indirect(item));
  if (typeof value === 'string') return Buffer.byteLength(value);
  const members = itemsOf(value) ?? entriesOf(value);
  if (members) return members.length;
  if (value instanceof GoValue && value.type.kind === 'pointer') throw new Error('len of nil pointer');
  if (isObject(value)) return Object.keys(value).length;
  throw new Error(`len of type ${typeName(value)}`);
}

function index(item: unknown, ...keys: unknown[]): unknown {
  if (item === null || item === undefined) throw new Error('index of untyped nil');
  let found: unknown = item;
  for (const key of keys) {
    const value = underlying(indirect(found));
    const items = itemsOf(value);
    if (items) found = items[checkedIndex(key, items.length, 'slice')];
    else if (typeof value === 'string')
      found = Buffer.from(value)[checkedIndex(key, Buffer.byteLength(value), 'string')];
    else if (value === null || value === undefined || (value instanceof GoValue && value.type.kind === 'pointer'))
      throw new Error('index of nil pointer');
    else if (value instanceof GoValue && value.type.kind === 'map') {
      const keyType = value.type.key.name ?? 'string';
      if (typeName(key) !== keyType) throw new Error(`value has type ${typeName(key)}; should be ${keyType}`);
      found = entryOf(value, String(underlying(key)));
      // A missing key gives the zero value of the map's type.
      if (found === undefined) found = view(value.type.of, undefined);
    } else if (value instanceof Map || isObject(value)) {
      if (typeof key !== 'string') throw new Error(`value has type ${typeName(key)}; should be string`);
      found = value instanceof Map ? value.get(key) : Object.hasOwn(value, key) ? value[key] : undefined;
    } else throw new Error(`can't index item of type ${typeName(value)}`);
  }
  return found;
}

/** @param kind what is indexed; absent for a bound, which may stand behind the last item */
function checkedIndex(key: unknown, size: number, kind?: 'slice' | 'string'): number {
  if (typeof key !== 'number' || !Number.isInteger(key))
    throw new Error(
      key === null || key === undefined
        ? 'cannot index slice/array with nil'
        : `cannot index slice/array with type ${typeName(key)}`,
    );
  if (key < 0 || key > size) throw new Error(`index out of range: ${key}`);
  if (kind && key === size) throw new Error(`reflect: ${kind} index out of range`);
  return key;
}

function slice(item: unknown, ...bounds: unknown[]): unknown {
  if (item === null || item === undefined) throw new Error('slice of untyped nil');
  const value = underlying(item);
  const items = itemsOf(value);
  if (typeof value !== 'string' && !items) throw new Error(`can't slice item of type ${typeName(value)}`);
  if (typeof value === 'string' && bounds.length === 3) throw new Error('cannot 3-index slice a string');
  const size = items ? items.length : Buffer.byteLength(value as string);
  const from = checkedIndex(bounds[0] ?? 0, size);
  const to = checkedIndex(bounds[1] ?? size, size);
  if (from > to) throw new Error(`invalid slice index: ${from} > ${to}`);
  if (typeof value === 'string') return Buffer.from(value).subarray(from, to).toString();
  return value instanceof GoValue
    ? new GoValue(value.type, ((value.json ?? []) as unknown[]).slice(from, to))
    : items!.slice(from, to);
}

type Kind = 'bool' | 'number' | 'string' | 'nil' | 'other';
const kindOf = (value: unknown): Kind =>
  value === null || value === undefined
    ? 'nil'
    : typeof value === 'boolean'
      ? 'bool'
      : typeof value === 'number'
        ? 'number'
        : typeof value === 'string'
          ? 'string'
          : 'other';

function equal(one: unknown, other: unknown): boolean {
  const [a, b] = [underlying(one), underlying(other)];
  const [left, right] = [kindOf(a), kindOf(b)];
  const [leftNil, rightNil] = [isNilValue(a), isNilValue(b)];
  if (left === 'nil' || right === 'nil') return leftNil && rightNil;
  if (left !== right) throw new Error('incompatible types for comparison');
  if (left !== 'other') return a === b;
  if (typeName(a) !== typeName(b))
    throw new Error(`non-comparable types ${formatValue(a)}: ${typeName(a)}, ${typeName(b)}: ${formatValue(b)}`);
  if (leftNil || rightNil) return leftNil === rightNil;
  // Two pointers are equal only when they are the same pointer.
  if (a instanceof GoValue && a.type.kind === 'pointer') return a.json === (b as GoValue).json;
  throw new Error(`non-comparable type ${formatValue(a)}: ${typeName(a)}`);
}

const isNilValue = (value: unknown): boolean =>
  value === null || value === undefined || (value instanceof GoValue && isNil(value));

function compare(one: unknown, other: unknown): number {
  const [a, b] = [underlying(one), underlying(other)];
  const [left, right] = [kindOf(a), kindOf(b)];
  if (left === 'bool' || left === 'other' || left === 'nil') throw new Error('invalid type for comparison');
  if (left !== right) throw new Error('incompatible types for comparison');
  if (typeof a === 'string') return Buffer.compare(Buffer.from(a), Buffer.from(b as string));
  return (a as number) - (b as number);
}

/** @returns the text that html, js, urlquery and print* make of their arguments */
const joined = (values: readonly unknown[]): string =>
  values.length === 1 && typeof values[0] === 'string' ? values[0] : sprint(values);

const HTML: Record<string, string> = {
  '"': '&#34;',
  "'": '&#39;',
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '\0': '\uFFFD',
};
const JS: Record<string, string> = {
  '\\': '\\\\',
  "'": "\\'",
  '"': '\\"',
  '<': '\\u003C',
  '>': '\\u003E',
  '&': '\\u0026',
  '=': '\\u003D',
};

export const FUNCTIONS: Record<string, TemplateFunction> = {
  // evaluate.ts implements `and` and `or`, which stop early; these entries have only their number of arguments.
  and: any(1, () => undefined),
  or: any(1, () => undefined),
  not: fixed(1, (value: unknown) => !isTrue(value)),
  len: fixed(1, length),
  index: any(1, index),
  slice: { minimum: 1, maximum: 4, call: slice },
  print: any(0, (...values: unknown[]) => sprint(values)),
  printf: any(1, (format: string, ...values: unknown[]) => sprintf(format, values), [0]),
  println: any(0, (...values: unknown[]) => `${values.map((value) => formatValue(value)).join(' ')}\n`),
  html: any(0, (...values: unknown[]) => joined(values).replace(/["'&<>\0]/g, (character) => HTML[character]!)),
  js: any(0, (...values: unknown[]) =>
    joined(values).replace(
      /[\\'"<>&=\x00-\x1f]/g,
      (character) => JS[character] ?? `\\u${character.charCodeAt(0).toString(16).toUpperCase().padStart(4, '0')}`,
    ),
  ),
  urlquery: any(0, (...values: unknown[]) =>
    encodeURIComponent(joined(values))
      .replace(/%20/g, '+')
      .replace(/[!'()*]/g, (character) => `%${character.charCodeAt(0).toString(16).toUpperCase()}`),
  ),
  call: any(1, (callee: unknown, ...values: unknown[]) => {
    if (typeof callee !== 'function')
      throw new Error(
        callee === null || callee === undefined
          ? 'call of nil'
          : `non-function ${formatValue(callee)} of type ${typeName(callee)}`,
      );
    return (callee as (...values: unknown[]) => unknown)(...values);
  }),
  eq: any(1, (first: unknown, ...others: unknown[]) => {
    if (others.length === 0) throw new Error('missing argument for comparison');
    return others.some((other) => equal(first, other));
  }),
  ne: fixed(2, (a: unknown, b: unknown) => !equal(a, b)),
  lt: fixed(2, (a: unknown, b: unknown) => compare(a, b) < 0),
  le: fixed(2, (a: unknown, b: unknown) => compare(a, b) <= 0),
  gt: fixed(2, (a: unknown, b: unknown) => compare(a, b) > 0),
  ge: fixed(2, (a: unknown, b: unknown) => compare(a, b) >= 0),
  json: fixed(1, (value: unknown) =>
    isObject(value) || (Array.isArray(value) && value.some(isObject)) ? goRowJson(value) : goJson(value),
  ),
  split: fixed(2, (value: string, separator: string) => value.split(separator), [0, 1]),
  join: { ...fixed(2, (list: unknown, separator: string) => (itemsOf(list) ?? []).join(separator), [1]), lists: [0] },
  title: fixed(1, (value: string) => value.replace(/(?<![\p{L}\p{N}_])\p{L}/gu, (letter) => letter.toUpperCase()), [0]),
  lower: fixed(1, (value: string) => value.toLowerCase(), [0]),
  upper: fixed(1, (value: string) => value.toUpperCase(), [0]),
  pad: fixed(
    3,
    (value: string, before: unknown, after: unknown) => (value === '' ? '' : spaces(before) + value + spaces(after)),
    [0],
  ),
  truncate: fixed(
    2,
    (value: string, limit: unknown) =>
      Buffer.from(value)
        .subarray(0, typeof limit === 'number' ? Math.max(limit, 0) : 0)
        .toString(),
    [0],
  ),
};

function spaces(count: unknown): string {
  return ' '.repeat(typeof count === 'number' ? Math.min(Math.max(count, 0), 1_000_000) : 0);
}
