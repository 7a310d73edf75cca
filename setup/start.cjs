// dist/husk.cjs: runs husk-main.cjs with the machine code that the build kept of it (V8's code cache): half of what loading the bundle
// costs is compiling it. V8 takes the cache only when its own version, its flags and the source's length are the same, else compiles.
'use strict';
const { readFileSync } = require('node:fs');
const vm = require('node:vm');
const file = `${__dirname}/husk-main.cjs`;
let cachedData;
try {
  cachedData = readFileSync(`${__dirname}/husk-main.cache`);
} catch {
  // not built, or taken away: slower, not different
}
// latin1: esbuild writes plain ASCII
const source = `(function(exports,require,module,__filename,__dirname){${readFileSync(file, 'latin1')}\n})`;
const script = new vm.Script(source, { filename: file, cachedData, importModuleDynamically: vm.constants.USE_MAIN_CONTEXT_DEFAULT_LOADER });
script.runInThisContext()(exports, require, module, file, __dirname);
// the build asks for the cache once everything of a common command has been compiled: setup/bundle.ts
module.exports = script;
