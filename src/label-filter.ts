/** `label=KEY` and `label=KEY=VALUE`, as the filters of every list have them. Decides only. */

/** Whether a thing with these labels is meant. A key is looked for among the labels themselves: `constructor` is no label of `{}`. */
export function hasLabel(labels: Readonly<Record<string, string>>, wanted: string): boolean {
  const equals = wanted.indexOf('=');
  const key = equals === -1 ? wanted : wanted.slice(0, equals);
  return Object.hasOwn(labels, key) && (equals === -1 || labels[key] === wanted.slice(equals + 1));
}
