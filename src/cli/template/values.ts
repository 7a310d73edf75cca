/**
 * The meaning of values for a template. A GoValue is JSON seen through one of Go's types. Of JavaScript's own values, a
 * plain object is a row of a list (a field that it does not have is an error), a Map is a Go map (`<no value>`), `null`
 * is a nil interface, `undefined` is Go's "no value". The functions are pure.
 */
import { entriesOf, GoValue, isNil, itemsOf, typeOf, underlying } from './go-value.ts';

export function isObject(value: unknown): value is Record<string, unknown> {
  return (
    typeof value === 'object' &&
    value !== null &&
    !Array.isArray(value) &&
    !(value instanceof Map) &&
    !(value instanceof GoValue)
  );
}

/** @returns Go's name of a value's type, for error texts and %T */
export function typeName(value: unknown): string {
  if (value instanceof GoValue) return typeOf(value);
  if (value === null || value === undefined) return '<nil>';
  if (typeof value === 'number') return Number.isInteger(value) ? 'int' : 'float64';
  if (typeof value === 'boolean') return 'bool';
  if (typeof value === 'string') return 'string';
  if (typeof value === 'bigint') return 'int';
  if (typeof value === 'function') return 'func';
  // Templates make lists only with split.
  if (Array.isArray(value)) return '[]string';
  return 'map[string]interface {}';
}

/** @returns whether Go accepts the value as a []string: a list whose type says that it holds strings, or nil */
export function isStringList(value: unknown): boolean {
  if (value === null || value === undefined || Array.isArray(value)) return true;
  return (
    value instanceof GoValue &&
    value.type.kind === 'slice' &&
    value.type.of.kind === 'string' &&
    value.type.of.name === undefined
  );
}

/** @returns Go's truth of a value: the zero value and empty values are false; a struct is always true */
export function isTrue(item: unknown): boolean {
  const value = underlying(item);
  if (value === null || value === undefined) return false;
  if (value instanceof GoValue)
    return value.type.kind === 'pointer'
      ? !isNil(value)
      : (itemsOf(value) ?? entriesOf(value) ?? ['a struct']).length > 0;
  if (typeof value === 'string' || Array.isArray(value)) return value.length > 0;
  if (value instanceof Map) return value.size > 0;
  if (isObject(value)) return Object.keys(value).length > 0;
  return Boolean(value);
}
