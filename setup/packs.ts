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
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { options, COMMON } from './bundle-file.ts';
import type { Rehearsal } from './practice.ts';

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

/** What is run so that the code cache has what it calls. */
export interface Practice {
  /**
   * of husk's command line, with ! before what is to fail; SCRATCH is a folder with empty.tar, an archive without
   * members, and context, one of a build
   */
  commands: readonly (readonly string[])[];
  /** husk-init: an absolute path */
  init: string;
}

/** ms: it takes two seconds, and one that waits for ever must not hold up a build */
const PRACTICE_TIMEOUT = 300_000;
const PREDICTABLE = ['--predictable', '--disable-warning=ExperimentalWarning'];
/**
 * MiB of young objects before the first garbage collection, so that there is none in the practice: V8 leaves a gap in
 * its bytecode as it finds it, and in memory that was used before, that is whatever lay there (practice.ts sets the
 * flag back).
 */
const UNCOLLECTED = ['--min-semi-space-size=64', '--max-semi-space-size=64'];
/** of the build that is practised: no RUN, which would take a namespace */
const DOCKERFILE = `FROM box AS base
ARG VERSION=1
ENV NODE_ENV=production PATH=/app/bin:$PATH
WORKDIR /app
COPY package.json ./
COPY --chown=1000 . /app
FROM base
COPY --from=base /app/src /src
LABEL version="$VERSION"
EXPOSE 80
CMD ["node", "main"]
`;
const IGNORED = '# not for the image\nnode_modules\n**/*.log\n';
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
  const writeStart = (caches: readonly Buffer[]) => {
    const index = {
      entry: chunkOf(entry),
      // of each chunk the number of its pack
      packs: chunks.map((chunk) => packs.findIndex((pack) => pack.includes(chunk))),
      lengths: sources.map((source, at) => [source.length, caches[at]?.length ?? 0]),
    };
    writeFileSync(
      join(folder, 'husk.cjs'),
      start.replace('HUSK_INDEX', () => JSON.stringify(index)),
    );
  };
  writeStart([]);
  const onDemand = chunks.flatMap(({ entry: file, name }) => (file === undefined ? [] : [[file, number.get(name)!]]));
  const chunkNumbers = Object.fromEntries(onDemand) as Rehearsal['chunks'];
  const made = codeCaches(folder, sources, practice && { ...practice, chunks: chunkNumbers });
  writeFileSync(join(folder, 'husk-main.cache'), Buffer.concat(made));
  writeStart(made);
  return { metafile };
}

/**
 * Runs practice.ts in a folder that is thrown away. What is called there is compiled then, and in the code cache; what
 * is never called is not, and costs nobody anything.
 * @returns the code cache of each pack
 */
function codeCaches(folder: string, sources: readonly string[], rehearsal: Rehearsal | undefined): Buffer[] {
  const init = rehearsal?.init;
  if (init !== undefined && !existsSync(init))
    throw new Error(`${init} is missing, which the practice of the build needs: make build`);
  const scratch = mkdtempSync(join(tmpdir(), 'husk-build-'));
  const run = (program: string, { flags = [], args = [] }: { flags?: readonly string[]; args?: readonly string[] }) =>
    execFileSync(process.execPath, [...PREDICTABLE, ...flags, join(import.meta.dirname, program), scratch, ...args], {
      cwd: folder,
      env: {
        PATH: '/usr/bin:/bin',
        HOME: scratch,
        HUSK_DATA_ROOT: join(scratch, 'data'),
        HUSK_INIT_PROGRAM: join(scratch, 'husk-init'),
        HUSK_OVERLAY: 'kernel',
        XDG_RUNTIME_DIR: scratch,
      },
      stdio: ['ignore', 'ignore', 'pipe'],
      timeout: PRACTICE_TIMEOUT,
      killSignal: 'SIGKILL',
    });
  try {
    if (rehearsal) {
      const commands = rehearsal.commands.map((command) => command.map((word) => word.replace('SCRATCH', scratch)));
      writeFileSync(join(scratch, 'practice.json'), JSON.stringify({ ...rehearsal, commands }));
      // an empty archive
      writeFileSync(join(scratch, 'empty.tar'), Buffer.alloc(TAR_END));
      writeContext(join(scratch, 'context'));
      run('practice.ts', { flags: UNCOLLECTED });
    }
    const lengths = JSON.stringify(sources.map(({ length }) => length));
    run('code-cache.cjs', { args: [lengths, ...(rehearsal ? [] : ['all'])] });
    return sources.map((_source, pack) => readFileSync(join(scratch, `made-${pack}`)));
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
}

/** A context with what many builds have. */
function writeContext(context: string): void {
  mkdirSync(join(context, 'src/below'), { recursive: true });
  for (const name of ['package.json', 'src/main', 'src/below/other']) writeFileSync(join(context, name), name);
  writeFileSync(join(context, '.dockerignore'), IGNORED);
  writeFileSync(join(context, 'Dockerfile'), DOCKERFILE);
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
 * `load`. Exports are getters, as of a module: chunks may need each other in a ring. The names of start.cjs's functions
 * begin with __, as esbuild's do, so that no function of a chunk can hide them.
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
        return `${text.startsWith('__') ? '(' : ''}__load(${number.get(to)})`;
      });
    return `${number.get(name)}(module){${onFirstUse(linked)}},\n`;
  });
  return `(function(__load,__builtin,__export,__toESM,require,__dirname,__filename,HUSK_URL){return{${functions.join('')}}})\n`;
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
 * late. Their names are esbuild's: import_node_os, import_promises for node:fs/promises.
 */
function onFirstUse(code: string): string {
  const names = new Map<string, string>();
  const rest = code.replace(/\bvar (import_\w+)=require\("(node:[\w/]+)"\);/g, (text, name: string, module: string) => {
    if (ALWAYS_THERE.has(module)) return text;
    names.set(name, module);
    return '';
  });
  return rest.replace(/\b(import_\w+)\./g, (text, name: string) =>
    // in parentheses: `new` takes the first call that it meets for its own
    names.has(name) ? `(__builtin("${names.get(name)}")).` : text,
  );
}
