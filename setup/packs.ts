/**
 * One program as packs: what a kind of command loads lies together, in one piece of source and one piece of V8's code
 * cache, so that a command reads, and V8 makes anew, no more than it needs. `husk ps` needs a quarter of husk.
 * setup/start.cjs loads packs; this file makes what it reads:
 *
 *   husk-main.cjs    the packs' sources, one after the other; each is a function that gives a table of module functions
 *   husk-main.cache  V8's code cache of each, in the same order; without it everything works, only slower
 *   husk.cjs         start.cjs with the index of both
 */
import { build, transformSync, type Metafile } from 'esbuild';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { setFlagsFromString } from 'node:v8';
import { Script } from 'node:vm';
import { options, COMMON } from './bundle-file.ts';

/**
 * What loads what, by the source files that are loaded on demand on its way (with all that those import). Modules that
 * the same kinds need make a pack; what none of them needs makes a pack for each module that is loaded on demand. A
 * file that is missing here costs a reading more, nothing else.
 */
export type Kinds = Readonly<Record<string, readonly string[]>>;

type Outputs = Metafile['outputs'];

/** A chunk of esbuild's: modules that the same entries reach. */
interface Chunk {
  name: string;
  code: string;
  /** chunks that it needs before it runs */
  needs: readonly string[];
  /** the source file loaded on demand that it is made for */
  entry: string | undefined;
}

/**
 * What is run so that the code cache has what commands call: arguments of `main` in a file that is loaded on demand.
 */
export interface Practice {
  program: string;
  commands: readonly (readonly string[])[];
}

/** bytes of zeros that are an archive without members (POSIX ustar) */
const TAR_END = 1024;

/**
 * @param entry a source file, from the repository's root
 * @param folder where the three files go
 * @param practice absent: everything is compiled
 * @returns what the packs are made of
 */
export async function writePacks(
  entry: string,
  folder: string,
  kinds: Kinds,
  practice?: Practice,
): Promise<{ metafile: Metafile }> {
  const { chunks, metafile } = await split(entry);
  const number = new Map(chunks.map(({ name }, index) => [name, index]));
  const packs = Object.values(Object.groupBy(chunks, packOf(chunks, kinds))) as Chunk[][];
  const sources = packs.map((pack) => packSource(pack, number));
  writeFileSync(join(folder, 'husk-main.cjs'), sources.join(''), 'latin1');
  const chunkOf = (file: string) => number.get(chunks.find((chunk) => chunk.entry === file)!.name)!;
  const start = readFileSync(join(import.meta.dirname, 'start.cjs'), 'utf8');
  const writeCaches = (caches: readonly Buffer[]) => {
    const index = {
      entry: chunkOf(entry),
      // of each chunk the number of its pack
      packs: chunks.map((chunk) => packs.findIndex((pack) => pack.includes(chunk))),
      lengths: sources.map((source, at) => [source.length, caches[at]!.length]),
    };
    writeFileSync(join(folder, 'husk-main.cache'), Buffer.concat(caches));
    writeFileSync(
      join(folder, 'husk.cjs'),
      start.replace('HUSK_INDEX', () => JSON.stringify(index)),
    );
  };
  const caches = sources.map((source) => codeCache(source, practice ? '--lazy' : '--no-lazy'));
  writeCaches(caches);
  if (!practice) return { metafile };
  for (const [pack, cache] of practise(folder, chunkOf(practice.program), practice.commands)) caches[pack] = cache;
  writeCaches(caches);
  return { metafile };
}

/**
 * Runs commands, one after the other in one process, in a folder that is thrown away. What they call is compiled then,
 * and in the code cache; what they never call is not, and costs nobody anything.
 * @param program the chunk with `main(argv)`
 * @returns the code cache of each pack that was loaded
 */
function practise(folder: string, program: number, commands: readonly (readonly string[])[]): [number, Buffer][] {
  const scratch = mkdtempSync(join(tmpdir(), 'husk-build-'));
  // V8 keeps the name of the file in the cache, so that is the same wherever husk is built
  const run = `const { readFileSync, writeFileSync } = require('node:fs');
    const module = { exports: {} };
    new Function('require', 'module', '__dirname', readFileSync('husk.cjs', 'utf8'))(require, module, '.');
    const { load, scripts } = module.exports;
    for (const stream of [process.stdout, process.stderr]) stream.setMaxListeners(0);
    (async () => {
      for (const command of ${JSON.stringify(commands).replaceAll('SCRATCH', scratch)}) await load(${program}).main(command);
      scripts.forEach((script, pack) => writeFileSync(${JSON.stringify(`${scratch}/cache-`)} + pack, script.createCachedData()));
    })()`;
  try {
    // an empty archive
    writeFileSync(join(scratch, 'empty.tar'), Buffer.alloc(TAR_END));
    execFileSync(
      process.execPath,
      ['--predictable', '--disable-warning=ExperimentalWarning', '--eval', run, '--', 'husk', '--version'],
      {
        cwd: folder,
        env: { PATH: '/usr/bin:/bin', HOME: scratch, HUSK_DATA_ROOT: join(scratch, 'data'), XDG_RUNTIME_DIR: scratch },
        stdio: ['ignore', 'ignore', 'pipe'],
      },
    );
    return readdirSync(scratch).flatMap((name) => {
      const pack = /^cache-(\d+)$/.exec(name)?.[1];
      return pack === undefined ? [] : [[Number(pack), readFileSync(join(scratch, name))]];
    });
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
}

async function split(entry: string): Promise<{ chunks: Chunk[]; metafile: Metafile }> {
  const { outputFiles, metafile } = await build({
    ...options(entry, COMMON),
    format: 'esm',
    splitting: true,
    outdir: 'packs',
    banner: {},
    write: false,
  });
  const outputs: Outputs = metafile.outputs;
  const chunks = outputFiles
    .map(({ path, text }) => {
      const output = outputs[`packs/${basename(path)}`]!;
      const needs = output.imports.filter(({ kind, external }) => kind === 'import-statement' && !external);
      return {
        name: basename(path),
        code: text,
        needs: needs.map((one) => basename(one.path)),
        entry: output.entryPoint,
      };
    })
    .toSorted((a, b) => (a.name < b.name ? -1 : 1));
  return { chunks, metafile };
}

function packOf(chunks: readonly Chunk[], kinds: Kinds): (chunk: Chunk) => string {
  const named = new Map(chunks.map((chunk) => [chunk.name, chunk]));
  const reached = Object.values(kinds).map((entries) => {
    const found = new Set<Chunk>();
    const add = (chunk: Chunk) => {
      if (found.has(chunk)) return;
      found.add(chunk);
      for (const name of chunk.needs) add(named.get(name)!);
    };
    for (const file of entries) {
      const chunk = chunks.find(({ entry }) => entry === file);
      if (!chunk) throw new Error(`${file} is loaded on demand by nothing: setup/bundle.ts names it as one that is`);
      add(chunk);
    }
    return found;
  });
  return (chunk) => {
    const users = reached.map((found) => (found.has(chunk) ? '1' : '0')).join('');
    return users.includes('1') ? users : chunk.name;
  };
}

/**
 * One chunk after the other, each as a function of CommonJS whose `require` of another chunk is a call of start.cjs's
 * `load`. Exports are getters, as of a module: chunks may need each other in a ring.
 */
function packSource(pack: readonly Chunk[], number: ReadonlyMap<string, number>): string {
  const functions = pack.map(({ name, code }) => {
    const { code: common } = transformSync(code, {
      format: 'cjs',
      platform: 'node',
      target: COMMON.target,
      supported: { 'dynamic-import': false },
      minifyWhitespace: true,
    });
    const linked = withoutPrelude(common)
      .replace('module.exports=__toCommonJS(stdin_exports)', 'module.exports=stdin_exports')
      .replace(/\b(?:__toESM\()?require\("\.\/([\w-]+\.js)"\)/g, (text, to: string) => {
        if (!number.has(to)) throw new Error(`${name} needs ${to}, which is none of the chunks`);
        return `${text.startsWith('__') ? '(' : ''}load(${number.get(to)})`;
      });
    return `${number.get(name)}(module){${onFirstUse(linked)}},\n`;
  });
  return `(function(load,builtin,__export,__toESM,require,__dirname,__filename,HUSK_URL){return{${functions.join('')}}})\n`;
}

/**
 * esbuild's own functions stand before each chunk: start.cjs has them once for all. @throws where there is one that it
 * has not
 */
function withoutPrelude(code: string): string {
  const at = code.indexOf('var stdin_exports={};');
  const prelude = code.slice(0, Math.max(0, at));
  const unknown = [...prelude.matchAll(/\bvar (\w+)=/g)].map(([, name]) => name!).filter((name) => !PRELUDE.has(name));
  if (unknown.length > 0) throw new Error(`start.cjs has no ${unknown.join(', ')}, which esbuild puts before a chunk`);
  return code.slice(Math.max(0, at));
}

const PRELUDE = new Set(
  (
    '__create __defProp __getOwnPropDesc __getOwnPropNames __getProtoOf __hasOwnProp __copyProps ' +
    '__export __toESM __toCommonJS'
  ).split(' '),
);

/** Node makes these for itself before it runs anything. */
const ALWAYS_THERE = new Set([
  'node:fs',
  'node:path',
  'node:url',
  'node:util',
  'node:buffer',
  'node:events',
  'node:timers',
]);

/**
 * Node's own modules are made when they are first used: most commands never use most of those that their modules
 * import, and node:crypto alone takes as long as all of a `husk ps`. Their loading has no effect that could come too
 * late.
 */
function onFirstUse(code: string): string {
  const names = new Map<string, string>();
  const rest = code.replace(
    /\bvar (import_node_\w+)=require\("(node:[\w/]+)"\);/g,
    (text, name: string, module: string) => {
      if (ALWAYS_THERE.has(module)) return text;
      names.set(name, module);
      return '';
    },
  );
  return rest.replace(/\b(import_node_\w+)\./g, (text, name: string) =>
    // in parentheses: `new` takes the first call that it meets for its own
    names.has(name) ? `(builtin("${names.get(name)}")).` : text,
  );
}

/**
 * @param lazy whether only what is called is compiled, which is nothing yet. @throws when V8 would not take the cache
 */
function codeCache(source: string, lazy: '--lazy' | '--no-lazy'): Buffer {
  setFlagsFromString(lazy);
  const script = new Script(source, { filename: 'husk-main.cjs' });
  // before the cache is written: the flags are part of it, and must be those of the run
  setFlagsFromString('--lazy');
  const cache = script.createCachedData();
  const { cachedDataRejected } = new Script(source, { filename: 'husk-main.cjs', cachedData: cache });
  if (cachedDataRejected) throw new Error('V8 does not take a code cache that it has made');
  return cache;
}
