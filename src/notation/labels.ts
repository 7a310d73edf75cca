/** Labels: from the texts of flags, and as the filters of every list ask for them. Pure. */

/**
 * Whether a thing with these labels is meant. A key is looked for among the labels themselves: `constructor` is no
 * label of `{}`.
 */
export function hasLabel(labels: Readonly<Record<string, string>>, wanted: string): boolean {
  const equals = wanted.indexOf('=');
  const key = equals === -1 ? wanted : wanted.slice(0, equals);
  return Object.hasOwn(labels, key) && (equals === -1 || labels[key] === wanted.slice(equals + 1));
}

/** `a=b`, `a` (empty value): Docker's label and map flags. A later one wins. */
export function toMap(pairs: readonly string[]): Record<string, string> {
  const map: Record<string, string> = {};
  for (const pair of pairs) {
    const equals = pair.indexOf('=');
    // a label named __proto__ is a label, not an object's parent
    Object.defineProperty(map, equals === -1 ? pair : pair.slice(0, equals), {
      value: equals === -1 ? '' : pair.slice(equals + 1),
      enumerable: true,
      configurable: true,
      writable: true,
    });
  }
  return map;
}
