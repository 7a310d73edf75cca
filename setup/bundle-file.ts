/**
 * One JavaScript file out of TypeScript sources, with koffi.node, re2js.cjs and execa.cjs expected beside it: husk's
 * own bundles, and those of the benches.
 */
import { build, transformSync, type BuildOptions, type Metafile, type Plugin } from 'esbuild';
import { copyFileSync, chmodSync, readdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

const root = join(import.meta.dirname, '..');

/** where a bundle's own folder is, in either kind of module */
export const COMMON = {
  format: 'cjs',
  target: 'node24',
  define: { 'import.meta.dirname': '__dirname', 'import.meta.filename': '__filename', 'import.meta.url': 'HUSK_URL' },
  banner: "const HUSK_URL=require('node:url').pathToFileURL(__filename).href;",
} as const;
/** the oldest Node that the library runs under; libraries of CommonJS in it need a require */
export const MODULE = {
  format: 'esm',
  target: 'node22',
  define: {},
  banner: "import{createRequire as huskRequire}from'node:module';const require=huskRequire(import.meta.url);",
} as const;

/** @param entry a source file, from the repository's root. @param outfile a path */
export const bundle = (entry: string, outfile: string, kind: typeof COMMON | typeof MODULE = COMMON) =>
  build({ ...options(entry, kind), outfile });

export const options = (entry: string, kind: typeof COMMON | typeof MODULE) =>
  ({
    entryPoints: [join(root, entry)],
    // esbuild names modules, in the bundle too, by their paths from here: whoever builds it may stand elsewhere
    absWorkingDir: root,
    // by the names they are imported by: node_modules may be a link to another checkout's
    preserveSymlinks: true,
    metafile: true,
    bundle: true,
    platform: 'node',
    target: kind.target,
    format: kind.format,
    minifyWhitespace: true,
    minifySyntax: true,
    legalComments: 'none',
    logLevel: 'warning',
    define: {
      ...kind.define,
      HUSK_VERSION: JSON.stringify(JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')).version),
    },
    banner: { js: kind.banner },
    plugins: [
      // koffi's own entry looks for its native part in node_modules; ours lies beside the bundle
      beside('koffi', { file: './koffi.node', loadedBy: /src\/host\/libc\.ts$/ }),
      // most commands match no pattern: in the bundle, re2js would be a quarter of what each of them reads
      beside('re2js', { file: './re2js.cjs', loadedBy: /src\/notation\/go-pattern\.ts$/ }),
      // as large, and most commands run no program of the host's
      beside('execa', { file: './execa.cjs', loadedBy: /src\/run-program\.ts$/ }),
    ],
  }) satisfies BuildOptions;

/** A library that lies beside the bundle and is required on first use, by one source file. */
function beside(name: string, { file, loadedBy }: { file: string; loadedBy: RegExp }): Plugin {
  return {
    name,
    setup(bundle) {
      bundle.onLoad({ filter: loadedBy }, ({ path }) => {
        const source = readFileSync(path, 'utf8');
        const contents = source.replace(
          `createRequire(import.meta.url)('${name}')`,
          `createRequire(import.meta.url)('${file}')`,
        );
        if (contents === source) throw new Error(`${path} no longer loads ${name} as setup/bundle-file.ts expects`);
        return { contents, loader: 'ts' };
      });
    },
  };
}

/** koffi's native part, beside a bundle. Never written over: supervisors that run have it mapped, and would crash. */
export function copyKoffi(folder: string): void {
  const copy = join(folder, 'koffi.node.new');
  copyFileSync(join(root, 'node_modules/@koromix/koffi-linux-x64/linux_x64/koffi.node'), copy);
  chmodSync(copy, 0o755);
  renameSync(copy, join(folder, 'koffi.node'));
}

/** re2js, whose names are shortened by no one: its syntax errors are told apart by theirs */
export function copyPatterns(folder: string): void {
  const source = readFileSync(join(root, 'node_modules/re2js/build/index.cjs'), 'utf8');
  writeFileSync(
    join(folder, 're2js.cjs'),
    transformSync(source, { minifyWhitespace: true, minifySyntax: true, legalComments: 'none' }).code,
  );
}

/** execa and what it is made of, as one file of CommonJS */
export const copyExeca = (folder: string) =>
  build({
    entryPoints: [join(root, 'node_modules/execa/index.js')],
    metafile: true,
    absWorkingDir: root,
    preserveSymlinks: true,
    outfile: join(folder, 'execa.cjs'),
    bundle: true,
    platform: 'node',
    target: COMMON.target,
    format: COMMON.format,
    minifyWhitespace: true,
    minifySyntax: true,
    legalComments: 'none',
    logLevel: 'warning',
    define: COMMON.define,
    banner: { js: COMMON.banner },
  });

/** @returns the licences of the libraries that lie in bundles, one behind the other */
export function licensesIn(bundles: { metafile: Metafile }[]): string {
  const inputs = bundles.flatMap(({ metafile }) => Object.keys(metafile.inputs));
  const names = inputs.flatMap((path) => /^node_modules\/((?:@[^/]+\/)?[^/]+)\//.exec(path)?.[1] ?? []);
  return [...new Set(names)]
    .sort()
    .map((name) => {
      const folder = join(root, 'node_modules', name);
      const file = readdirSync(folder).find((file) => /^licen[cs]e/i.test(file));
      if (file === undefined) throw new Error(`${folder} has no licence`);
      return `${name}\n\n${readFileSync(join(folder, file), 'utf8').trim()}\n`;
    })
    .join('\n');
}
