/** V8's code cache of a bundle, for setup/start.cjs: half of what loading one costs is compiling it. */
import { readFileSync, writeFileSync } from 'node:fs';
import { Script } from 'node:vm';

/** as start.cjs wraps and reads it, character for character */
export const wrapped = (bundle: string) => `(function(exports,require,module,__filename,__dirname){${readFileSync(bundle, 'latin1')}\n})`;

export function writeCodeCache(bundle: string, cache: string): void {
  writeFileSync(cache, new Script(wrapped(bundle), { filename: bundle }).createCachedData());
}
