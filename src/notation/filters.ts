/**
 * `--filter key=value` as every list takes it. The meaning of each filter is defined by the room that has the list.
 * These functions are pure.
 */

/** Parses `key=value` of `--filter`. @throws Error in Docker's words */
export function parseFilter(text: string): [key: string, value: string] {
  const equals = text.indexOf('=');
  if (equals === -1) throw new Error('bad format of filter (expected name=value)');
  return [text.slice(0, equals).trim().toLowerCase(), text.slice(equals + 1).trim()];
}

/** @returns filters, with the values of one key collected */
export function collectFilters(pairs: readonly [string, string][]): Record<string, string[]> {
  const filters: Record<string, string[]> = Object.create(null) as Record<string, string[]>;
  for (const [key, value] of pairs) (filters[key] ??= []).push(value);
  return filters;
}
