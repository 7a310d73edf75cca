/** Reads a request's query as Docker's engine does: Go's url.ParseQuery, and httputils of moby for the values. */
import { HuskError } from '../../errors.ts';
import { parseMoment } from '../../notation/moments.ts';
import { MAX_FILTER_VALUES, MAX_FILTERS } from './bounds.ts';
import type { Query } from './contract.ts';

const invalid = (message: string): HuskError => new HuskError(message, { kind: 'invalid' });

/** values of a boolean that are false, moby api/server/httputils/form.go */
const FALSE = new Set(['', '0', 'no', 'false', 'none']);

/** @param target the request's target, with or without a query @throws HuskError `invalid` for what is no encoding */
export function readQuery(target: string): Query {
  const at = target.indexOf('?');
  const values = new Map<string, string[]>();
  for (const pair of at === -1 ? [] : target.slice(at + 1).split('&')) {
    if (pair === '') continue;
    if (pair.includes(';')) throw invalid('invalid semicolon separator in query');
    const equals = pair.indexOf('=');
    const name = unescape(equals === -1 ? pair : pair.slice(0, equals));
    const value = equals === -1 ? '' : unescape(pair.slice(equals + 1));
    const known = values.get(name);
    if (known) known.push(value);
    else values.set(name, [value]);
  }
  return queryOf(values);
}

function queryOf(values: ReadonlyMap<string, string[]>): Query {
  const text = (name: string): string | undefined => values.get(name)?.[0] || undefined;
  return {
    has: (name) => values.has(name),
    text,
    all: (name) => [...(values.get(name) ?? [])],
    boolean(name, otherwise = false) {
      const value = values.get(name)?.[0];
      return value === undefined ? otherwise : !FALSE.has(value.trim().toLowerCase());
    },
    integer: (name) => whole(name, text(name)),
    moment(name) {
      const value = text(name);
      if (value === undefined) return undefined;
      return parseMoment(value, Date.now()) || undefined;
    },
    json: (name) => json(name, text(name)),
    filters: (known, name = 'filters') => filters(text(name), known),
  };
}

function unescape(text: string): string {
  try {
    return decodeURIComponent(text.replaceAll('+', ' '));
  } catch {
    const [escape = text.slice(0, 3)] = /%(?![0-9a-fA-F]{2}).{0,2}/.exec(text) ?? [];
    throw invalid(`invalid URL escape ${JSON.stringify(escape)}`);
  }
}

function whole(name: string, value: string | undefined): number | undefined {
  if (value === undefined) return undefined;
  const number = /^[+-]?\d{1,19}$/.test(value) ? Number(value) : Number.NaN;
  if (!Number.isSafeInteger(number)) throw invalid(`invalid value for ${name}: ${quoted(value)} is no whole number`);
  return number;
}

function json(name: string, value: string | undefined): unknown {
  if (value === undefined) return undefined;
  try {
    return JSON.parse(value) as unknown;
  } catch {
    throw invalid(`invalid value for ${name}: ${quoted(value)} is no JSON`);
  }
}

/** Docker's two forms: `{"label":{"a=b":true}}` of today and `{"label":["a=b"]}` of clients before API 1.22. */
function filters(text: string | undefined, known: readonly string[]): Record<string, string[]> {
  const found = Object.create(null) as Record<string, string[]>;
  if (text === undefined) return found;
  const entries = entriesOf(parsed(text));
  if (entries.length > MAX_FILTERS) throw invalid(`invalid filter: more than ${MAX_FILTERS} of them`);
  for (const [key, values] of entries) {
    if (!known.includes(key)) throw invalid(`invalid filter ${singleQuoted(key)}`);
    found[key] = valuesOf(values);
  }
  return found;
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    throw invalid('invalid filter');
  }
}

function entriesOf(value: unknown): [string, unknown][] {
  if (value === null) return [];
  if (typeof value !== 'object' || Array.isArray(value)) throw invalid('invalid filter');
  return Object.entries(value);
}

function valuesOf(value: unknown): string[] {
  const list = Array.isArray(value) ? (value as unknown[]) : entriesOf(value).map(([key, on]) => isBoolean(on) && key);
  if (list.length > MAX_FILTER_VALUES) throw invalid(`invalid filter: more than ${MAX_FILTER_VALUES} values`);
  return list.map((text) => {
    if (typeof text !== 'string') throw invalid('invalid filter');
    return text;
  });
}

function isBoolean(value: unknown): true {
  if (typeof value !== 'boolean') throw invalid('invalid filter');
  return true;
}

/** characters of a client's text that an error repeats */
const SHOWN = 100;
const cut = (text: string): string => (text.length > SHOWN ? `${text.slice(0, SHOWN)}…` : text);
const quoted = (text: string): string => JSON.stringify(cut(text));
const singleQuoted = (text: string): string =>
  `'${quoted(text)
    .slice(1, -1)
    .replaceAll(String.raw`\"`, '"')}'`;
