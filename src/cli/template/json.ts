/** JSON as Go writes it: Maps by sorted key, objects in their own order, U+2028/9 escaped, nothing else. Pure. */
import { NIL_MAP, NIL_SLICE } from './values.ts';

export function goJson(value: unknown, indent?: number): string {
  return (JSON.stringify(plain(value), undefined, indent) ?? 'null').replace(/[\u2028\u2029]/g, (character) => `\\u${character.charCodeAt(0).toString(16)}`);
}

function plain(value: unknown): unknown {
  if (value === NIL_SLICE || value === NIL_MAP) return null;
  if (value instanceof Map) {
    const keys = [...value.keys()].map(String).sort();
    return Object.fromEntries(keys.map((key) => [key, plain(value.get(key))]));
  }
  if (Array.isArray(value)) return value.map(plain);
  if (typeof value === 'object' && value !== null) return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, plain(item)]));
  return value;
}
