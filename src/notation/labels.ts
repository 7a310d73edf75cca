/** Labels: from the texts of flags, and in the filters of every list. These functions are pure. */

/** @returns whether the labels match a filter. Only own keys count: `constructor` is no label of `{}`. */
export function hasLabel(labels: Readonly<Record<string, string>>, wanted: string): boolean {
  const equals = wanted.indexOf('=');
  const key = equals === -1 ? wanted : wanted.slice(0, equals);
  return Object.hasOwn(labels, key) && (equals === -1 || labels[key] === wanted.slice(equals + 1));
}

/** Collects `a=b` and `a` (an empty value) of Docker's label and map flags; a later one wins. */
export function toMap(pairs: readonly string[]): Record<string, string> {
  const map: Record<string, string> = {};
  for (const pair of pairs) {
    const equals = pair.indexOf('=');
    // A label named __proto__ must become a label, not the object's prototype.
    Object.defineProperty(map, equals === -1 ? pair : pair.slice(0, equals), {
      value: equals === -1 ? '' : pair.slice(equals + 1),
      enumerable: true,
      configurable: true,
      writable: true,
    });
  }
  return map;
}
