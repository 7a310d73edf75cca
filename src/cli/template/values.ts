/**
 * What values are to a template. A plain object is a struct (asking for a field it has not is an error), a Map is a Go map
 * (`<no value>`), `null` is nil, `undefined` is Go's "no value". Pure.
 */

/** Go's nil slice and nil map: empty to everything but JSON, which says null */
export const NIL_SLICE: readonly unknown[] = Object.freeze([]);
export const NIL_MAP: ReadonlyMap<string, unknown> = new Map();

export function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value) && !(value instanceof Map);
}

/** Go's name of a value's type, for error texts and %T */
export function typeName(value: unknown): string {
  if (value === null || value === undefined) return '<nil>';
  if (typeof value === 'number') return Number.isInteger(value) ? 'int' : 'float64';
  if (typeof value === 'boolean') return 'bool';
  if (typeof value === 'string') return 'string';
  if (typeof value === 'bigint') return 'int';
  if (typeof value === 'function') return 'func';
  if (Array.isArray(value)) return '[]interface {}';
  return 'map[string]interface {}';
}

/** Go's truth: the zero value and what is empty are false */
export function isTrue(value: unknown): boolean {
  if (value === null || value === undefined) return false;
  if (typeof value === 'string' || Array.isArray(value)) return value.length > 0;
  if (value instanceof Map) return value.size > 0;
  if (isObject(value)) return Object.keys(value).length > 0;
  return Boolean(value);
}

/** entries by sorted key, as Go ranges over and prints maps */
export function sortedEntries(value: Map<string, unknown> | Record<string, unknown>): [string, unknown][] {
  const entries: [string, unknown][] = value instanceof Map ? [...value] : Object.entries(value).filter(([, item]) => typeof item !== 'function');
  return entries.sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0));
}
