/**
 * JSON seen through Go's types, as a client of Docker's API sees an answer that it has decoded: a missing value is the
 * type's zero value, a pointer may be nil, a nil list is not an empty one. Values are converted when they are read;
 * only own properties are visible.
 */
import { nameOfType, named, string, any as ANY, type Field, type GoType, type StructType } from './go-types.ts';

/** Go's json.Number, which a decoder makes of a number whose type it does not know. It is a string. */
const JSON_NUMBER = named('string', 'json.Number', {
  methods: {
    String: (json: string) => json,
    Int64: (json: string) => Number(json),
    Float64: (json: string) => Number(json),
  },
});
const ANY_MAP: GoType = { kind: 'map', key: string, of: ANY };
const ANY_SLICE: GoType = { kind: 'slice', of: ANY };
const ZERO = { string: '', int: 0, bool: false, float64: 0 } as const;
const JS_TYPE = { string: 'string', int: 'number', bool: 'boolean', float64: 'number' } as const;

/** A value that JavaScript's types cannot hold: one of a named type, a list, a map, a struct or a pointer. */
export class GoValue {
  readonly type: GoType;
  readonly json: unknown;

  constructor(type: GoType, json: unknown) {
    this.type = type;
    this.json = json;
  }
}

/** @returns a string, number or boolean where Go's own type has that kind, null for a nil interface, else a GoValue */
export function view(type: GoType, json: unknown): unknown {
  switch (type.kind) {
    case 'any':
      if (json === undefined || json === null) return null;
      if (typeof json === 'number') return new GoValue(JSON_NUMBER, JSON.stringify(json));
      if (typeof json !== 'object') return json;
      return new GoValue(Array.isArray(json) ? ANY_SLICE : ANY_MAP, json);
    case 'string':
    case 'int':
    case 'bool':
    case 'float64': {
      const value = typeof json === JS_TYPE[type.kind] ? json : (type.zero ?? ZERO[type.kind]);
      return type.name === undefined ? value : new GoValue(type, value);
    }
    default:
      return new GoValue(type, json);
  }
}

/** @returns whether this is a nil pointer, list or map */
export function isNil({ type, json }: GoValue): boolean {
  if (type.kind === 'slice' && type.length !== undefined) return false;
  return (
    (type.kind === 'pointer' || type.kind === 'slice' || type.kind === 'map') && (json === undefined || json === null)
  );
}

/** @returns what a pointer leads to; for a nil pointer the pointer itself */
export function indirect(value: unknown): unknown {
  let found = value;
  while (found instanceof GoValue && found.type.kind === 'pointer' && !isNil(found))
    found = view(found.type.of, found.json);
  return found;
}

/** @returns the JavaScript value of a named string, number or boolean; any other value itself */
export function underlying(value: unknown): unknown {
  return value instanceof GoValue &&
    (value.type.kind === 'string' ||
      value.type.kind === 'int' ||
      value.type.kind === 'bool' ||
      value.type.kind === 'float64')
    ? value.json
    : value;
}

/** @returns the items of a list; undefined for any other value */
export function itemsOf(value: unknown): unknown[] | undefined {
  if (Array.isArray(value)) return value;
  if (!(value instanceof GoValue) || value.type.kind !== 'slice') return undefined;
  const { of, length } = value.type;
  const items: unknown[] = Array.isArray(value.json) ? value.json : [];
  return Array.from({ length: length ?? items.length }, (_, index) => view(of, items[index]));
}

/**
 * @returns the entries of a map sorted by key, the order in which Go ranges over and prints it; undefined for any other
 * value
 */
export function entriesOf(value: unknown): [key: unknown, value: unknown][] | undefined {
  if (value instanceof Map) return [...value].sort(byKey);
  if (!(value instanceof GoValue) || value.type.kind !== 'map') return undefined;
  const { key, of } = value.type;
  return Object.entries(value.json ?? {})
    .sort(byKey)
    .map(([name, item]) => [view(key, name), view(of, item)]);
}

const byKey = ([a]: [string, unknown], [b]: [string, unknown]): number =>
  Buffer.compare(Buffer.from(a), Buffer.from(b));

/** @returns undefined where the map has no such key */
export function entryOf(value: GoValue, key: string): unknown {
  const { type, json } = value;
  if (type.kind !== 'map' || typeof json !== 'object' || json === null || !Object.hasOwn(json, key)) return undefined;
  return view(type.of, (json as Record<string, unknown>)[key]);
}

/**
 * @returns the struct's own field, or one of a struct embedded in it; like Go's FieldByName it prefers the shallowest
 */
export function fieldOf(value: GoValue, name: string): unknown {
  if (value.type.kind !== 'struct') return undefined;
  const direct = value.type.fields.find((field) => field.name === name);
  if (direct) return fieldValue(value, direct);
  for (const field of value.type.fields) {
    const inner = field.embedded ? indirect(fieldValue(value, field)) : undefined;
    const found = inner instanceof GoValue ? fieldOf(inner, name) : undefined;
    if (found !== undefined) return found;
  }
  return undefined;
}

export function hasField(type: GoType, name: string): boolean {
  if (type.kind === 'pointer') return hasField(type.of, name);
  return (
    type.kind === 'struct' &&
    type.fields.some((field) => field.name === name || (field.embedded && hasField(field.type, name)))
  );
}

/** @returns undefined where the type has no such method */
export function methodOf(value: unknown, name: string): ((...values: unknown[]) => unknown) | undefined {
  const found = indirect(value);
  if (
    !(found instanceof GoValue) ||
    !('methods' in found.type) ||
    !found.type.methods ||
    !Object.hasOwn(found.type.methods, name)
  )
    return undefined;
  const method = found.type.methods[name]!;
  const bound = (...values: unknown[]): unknown => method(found.json as never, ...values);
  Object.defineProperty(bound, 'length', { value: Math.max(method.length - 1, 0) });
  return bound;
}

/** @returns the text of String(), of the value or of what it points to */
export function textOf(value: GoValue): string | undefined {
  const found = indirect(value);
  if (!(found instanceof GoValue) || !('text' in found.type)) return undefined;
  return found.type.text?.(found.json as never);
}

export interface ShownField {
  name: string;
  value: unknown;
  embedded: boolean;
}

/** @returns the fields that `{{.}}` prints */
export function shownFields(value: GoValue): ShownField[] {
  return (value.type as StructType).fields
    .filter((field) => !field.own)
    .map((field) => ({ name: field.name, value: fieldValue(value, field), embedded: field.embedded }));
}

function fieldValue(value: GoValue, field: Field): unknown {
  if (field.embedded) return view(field.type, value.json ?? {});
  const { json } = value;
  const key = field.json ?? field.name;
  return view(
    field.type,
    typeof json === 'object' && json !== null && Object.hasOwn(json, key)
      ? (json as Record<string, unknown>)[key]
      : undefined,
  );
}

/** @returns plain JSON as Go's encoding/json would write it: structs in the order of their fields, maps by key */
export function toJson(value: unknown): unknown {
  if (!(value instanceof GoValue)) return value;
  const { type, json } = value;
  if (type.kind === 'pointer') return isNil(value) ? null : toJson(view(type.of, json));
  if (type.kind === 'slice') return isNil(value) ? null : itemsOf(value)!.map(toJson);
  if (type.kind === 'map')
    return isNil(value)
      ? null
      : new Map(entriesOf(value)!.map(([key, item]) => [String(underlying(key)), toJson(item)]));
  if (type.kind !== 'struct') return type === JSON_NUMBER ? Number(json) : json;
  const members: [string, unknown][] = [];
  addMembers(value, members);
  return Object.fromEntries(members);
}

function addMembers(value: GoValue, members: [string, unknown][]): void {
  for (const field of (value.type as StructType).fields) {
    const item = fieldValue(value, field);
    if (field.embedded) addMembers(indirect(item) as GoValue, members);
    else if (field.json !== undefined && !(field.omitEmpty && isEmpty(item))) members.push([field.json, toJson(item)]);
  }
}

/** @returns whether encoding/json considers a value empty; a struct never is */
function isEmpty(value: unknown): boolean {
  const plain = underlying(value);
  if (!(plain instanceof GoValue)) return !plain;
  if (plain.type.kind === 'pointer') return isNil(plain);
  if (plain.type.kind === 'struct') return false;
  return (itemsOf(plain) ?? entriesOf(plain) ?? []).length === 0;
}

export function typeOf(value: GoValue): string {
  return nameOfType(value.type);
}
