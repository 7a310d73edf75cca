/**
 * `name.network`: both halves may have dots of their own, so that a name can be cut in several places. Pure.
 * Source: moby libnetwork's Sandbox.ResolveName
 */

/**
 * What a name may mean, in the order in which it is to be looked for: in all networks of the container whole, then
 * in the network of its last label, of its last two …
 * @example `a.b.c` → `a.b.c`, `a.b` in `c`, `a` in `b.c`
 */
export function* meanings(name: string): Generator<{ name: string; network?: string }> {
  yield { name };
  for (let dot = name.lastIndexOf('.'); dot > 0; dot = name.lastIndexOf('.', dot - 1))
    yield { name: name.slice(0, dot), network: name.slice(dot + 1) };
}
