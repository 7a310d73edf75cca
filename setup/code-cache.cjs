// code-cache.cjs SCRATCH LENGTHS [all]: makes V8's code cache of each pack of ./husk-main.cjs, SCRATCH/made-N, of what
// the practice has compiled, SCRATCH/cache-N, or else of the pack's outline. Read and written again because V8 numbers
// functions as it compiles them, which is in the order of what the practice waited for, and as it reads them, which is
// always the same. In a process of its own, which has compiled nothing before: V8 counts that, too. With `all` every
// function is compiled.
'use strict';
const { existsSync, readFileSync, writeFileSync } = require('node:fs');
const { setFlagsFromString } = require('node:v8');
const { Script } = require('node:vm');
const [scratch, lengths, all] = process.argv.slice(2);
const code = readFileSync('husk-main.cjs', 'latin1');
let at = 0;
for (const [pack, length] of JSON.parse(lengths).entries()) {
  const practised = `${scratch}/cache-${pack}`;
  const cachedData = existsSync(practised) ? readFileSync(practised) : undefined;
  if (all) setFlagsFromString('--no-lazy');
  const script = new Script(code.slice(at, (at += length)), { filename: 'husk-main.cjs', cachedData });
  if (script.cachedDataRejected) throw new Error('V8 does not take a code cache that it has made');
  // before the cache is written: the flags are part of it, and must be those of the run
  if (all) setFlagsFromString('--lazy');
  writeFileSync(`${scratch}/made-${pack}`, script.createCachedData());
}
