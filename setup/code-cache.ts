/**
 * V8's code cache of a bundle, for setup/start.cjs: half of what loading one costs is compiling it. Every function is compiled, not only those that some run happened
 * to call: what a supervisor or an agent does first cannot be run where the build is.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { setFlagsFromString } from 'node:v8';
import { Script } from 'node:vm';

/** as start.cjs wraps and reads it, character for character */
const wrapped = (bundle: string) =>
  `(function(exports,require,module,__filename,__dirname){${readFileSync(bundle, 'latin1')}\n})`;

/** @throws when V8 would not take the cache */
export function writeCodeCache(bundle: string, cache: string): void {
  const source = wrapped(bundle);
  setFlagsFromString('--no-lazy');
  const script = new Script(source, { filename: bundle });
  // before the cache is written: the flags are part of it, and must be those of the run
  setFlagsFromString('--lazy');
  writeFileSync(cache, script.createCachedData());
  const { cachedDataRejected } = new Script(source, { filename: bundle, cachedData: readFileSync(cache) });
  if (cachedDataRejected) throw new Error(`V8 does not take the code cache of ${bundle}`);
}
