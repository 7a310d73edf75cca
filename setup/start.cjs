// dist/husk.cjs: loads husk-main.cjs pack by pack (setup/packs.ts), each with the machine code that the build kept of
// it (V8's code cache): most of what loading code costs is reading and compiling it. V8 takes a cache only when its own
// version, its flags and the source's length are the same, else it compiles.
'use strict';
const { openSync, readSync } = require('node:fs');
const { Script } = require('node:vm');
const { entry, packs, lengths } = HUSK_INDEX;
const file = `${__dirname}/husk-main.cjs`;
const url = require('node:url').pathToFileURL(file).href;
// Held open: a supervisor lives on when husk is replaced by a newer one, and goes on with its own code.
const sources = openSync(file);
let caches;
try {
  caches = openSync(`${__dirname}/husk-main.cache`);
} catch {
  // not built, or taken away: slower, not different
}
// bytes: about what the largest of them takes that a command loads
const LARGE = 400_000;
const functions = [];
const modules = [];
const scripts = [];

// What is read is used up at once, so the next pack is read into the same pages: a page that is touched for the first
// time costs more than filling it. A weak reference, because a supervisor lives long.
let scratch;

function read(fd, which, pack) {
  let position = 0;
  for (let at = 0; at < pack; at++) position += lengths[at][which];
  const length = lengths[pack][which];
  let whole = scratch?.deref();
  if (whole === undefined || whole.length < length) {
    whole = Buffer.allocUnsafeSlow(Math.max(length, LARGE));
    scratch = new WeakRef(whole);
  }
  for (let done = 0; done < length; ) {
    const count = readSync(fd, whole, done, length - done, position + done);
    if (count === 0) throw new Error(`${file} is shorter than it was made: install husk again`);
    done += count;
  }
  return whole.subarray(0, length);
}

function loadPack(pack) {
  // latin1: esbuild writes plain ASCII
  const source = read(sources, 0, pack).latin1Slice();
  const cachedData = caches === undefined ? undefined : read(caches, 1, pack);
  const script = new Script(source, { filename: file, cachedData });
  scripts[pack] = script;
  Object.assign(functions, script.runInThisContext()(load, builtin, exportAll, toModule, require, __dirname, file, url));
}

// of Node's own, which are made at their first use
const builtins = {};
const builtin = (name) => (builtins[name] ??= require(name));

// what esbuild calls __export and __toESM
function exportAll(target, getters) {
  for (const name in getters) Object.defineProperty(target, name, { get: getters[name], enumerable: true });
}
const toModule = (module) => Object.create(module, { default: { value: module } });

function load(chunk) {
  const loaded = modules[chunk];
  if (loaded !== undefined) return loaded.exports;
  if (functions[chunk] === undefined) loadPack(packs[chunk]);
  const made = (modules[chunk] = { exports: {} });
  functions[chunk](made);
  return made.exports;
}

// before anything runs: the build makes the code cache of what it has seen running (setup/packs.ts)
module.exports = { load, scripts };
load(entry);
