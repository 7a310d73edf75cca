/**
 * Cleans the paths of tar members as Go's `filepath.Clean` (hence Docker, Podman and umoci) would, and refuses paths
 * that lead out of the archive's root. The work is purely lexical; symbolic links are resolved by the layer tree
 * (src/images/layers/tree.ts).
 */
import type { ByteString } from './byte-string.ts';
import { display } from './byte-string.ts';
import { MAX_COMPONENT, MAX_PATH } from './entry.ts';

const ODD = /(?:^|\/)(?:\.{0,2}(?:\/|$))|\0/;

/**
 * Cleans a path; an absolute one counts from the archive's root, as in other tar readers. `fail` makes the error, so
 * that it can name the header.
 * @throws what `fail` returns, when the path escapes the root, holds a NUL, or is longer than Linux allows
 */
export function cleanPath(raw: ByteString, fail: (what: string) => Error): ByteString {
  let path = raw;
  if (ODD.test(raw)) path = cleanOdd(raw, fail);
  if (path.length > MAX_PATH) throw fail(`a path of ${path.length} bytes is longer than ${MAX_PATH}`);
  if (path.length > MAX_COMPONENT) {
    for (const component of path.split('/'))
      if (component.length > MAX_COMPONENT)
        throw fail(`a name of ${component.length} bytes is longer than ${MAX_COMPONENT}`);
  }
  return path;
}

function cleanOdd(raw: ByteString, fail: (what: string) => Error): ByteString {
  if (raw.includes('\0')) throw fail('a path has a NUL byte');
  // The bound is checked before the split: a long-name header of a megabyte of slashes would make a million strings.
  if (raw.length > 4 * MAX_PATH) throw fail(`a path of ${raw.length} bytes is longer than ${MAX_PATH}`);
  const parts: ByteString[] = [];
  for (const component of raw.split('/')) {
    if (component === '' || component === '.') continue;
    if (component !== '..') parts.push(component);
    // An absolute path cannot rise above its root (Clean('/../x') is '/x'), a relative one can: the "zip slip" attack.
    else if (parts.pop() === undefined && !raw.startsWith('/'))
      throw fail(`the path "${display(raw)}" leads out of the archive`);
  }
  return parts.join('/');
}
