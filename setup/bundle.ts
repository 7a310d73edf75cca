/**
 * Makes what is in dist/: husk.cjs with its packs (packs.ts), agent.cjs for the guest, husk.mjs, the library, which is
 * a module and runs under the program's own Node; and beside them what they load on first use: koffi.node, re2js.cjs,
 * execa.cjs. CommonJS because Node starts it 5 ms sooner than a module. Run with --predictable: V8 orders what it
 * writes into a code cache by a random seed, which that flag fixes (it is no part of what a cache must agree with). The
 * same bytes wherever and whenever it is built.
 */
import { mkdirSync, mkdtempSync, renameSync, rmdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { bundle, COMMON, copyExeca, copyKoffi, copyPatterns, licensesIn, MODULE } from './bundle-file.ts';
import { writePacks, type Kinds } from './packs.ts';

/** What every command loads. */
const COMMAND = ['src/main.ts', 'src/cli/main.ts', 'src/library/husk.ts', 'src/engine/assembly/engine.ts'];
/** The commands that are used most, and what stands beside a container. HUSK_TRACE shows what a missing line costs. */
const KINDS: Kinds = {
  look: [...COMMAND, 'src/cli/commands/ps.ts', 'src/cli/commands/logs.ts'],
  inspect: [...COMMAND, 'src/cli/commands/inspect.ts', 'src/engine/look/inspect.ts'],
  exec: [...COMMAND, 'src/cli/commands/exec.ts', 'src/engine/life/exec.ts'],
  run: [
    ...COMMAND,
    'src/cli/commands/run.ts',
    'src/engine/create/create.ts',
    'src/engine/create/host-facts.ts',
    'src/engine/create/spec/build.ts',
    'src/engine/create/spec/check.ts',
    'src/engine/life/start.ts',
    'src/engine/life/task-networks.ts',
    'src/engine/life/wait.ts',
    'src/engine/assembly/parts.ts',
    'src/vmm/boot/verdict.ts',
  ],
  // a build that finds everything in the cache loads no more
  build: [...COMMAND, 'src/cli/commands/build.ts', 'src/engine/build/build.ts', 'src/images/build-store/store.ts'],
  supervisor: [
    'src/main.ts',
    'src/supervisor/main.ts',
    'src/rootless/idmap.ts',
    'src/rootless/keep-id.ts',
    'src/rootless/sandbox.ts',
    'src/images/layers/unpack.ts',
    'src/host/memory/file-pages.ts',
    'src/host/memory/heap.ts',
  ],
  networks: ['src/supervisor/life/networks.ts'],
  // what a command looks up of networks before it starts a container on them
  join: [...COMMAND, 'src/network/records/networks.ts'],
  // what each command of root's loads beside: apart from what stands beside a container, which is the largest of all
  root: [...COMMAND, 'src/rootless/idmap.ts'],
};

/** What it takes for containers are none (practice.ts): not every place where husk is built can start one. */
const PRACTICE = [
  'import SCRATCH/empty.tar box',
  // before anything runs, whose supervisor would still be clearing up at a moment of its own
  'build -q SCRATCH/context',
  'build -q -t built SCRATCH/context',
  'build --progress=plain -t built SCRATCH/context',
  'rmi built',
  'create --name=one --rm --network=none box true',
  'create -it --name=two -e A=b box true',
  '! create -v volume:/v box true',
  'ps',
  'ps --all',
  'inspect one',
  'inspect --format {{.State.Status}} one',
  'logs one',
  '! exec one true',
  'images',
  'volume ls',
  'rename one three',
  'rm three two',
  'run -d -i --name=four --network=none box /bin/sh -c read%line',
  'ps',
  'inspect four',
  'exec four /bin/sh -c echo%out;echo%err>&2',
  'logs four',
  'stop four',
  'rm four',
  'run --name=five --network=none box /bin/sh -c echo%out;echo%err>&2',
  'logs five',
  'rm five',
  'run --rm --network=none box /bin/sh -c echo%out',
  'run --rm box /bin/sh -c echo%out',
  'rmi box',
].map((line) => line.split(' ').map((word) => word.replaceAll('%', ' ')));

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
  ['src/library/husk.ts', 'husk.mjs', MODULE],
] as const) {
  bundles.push(await bundle(entry, join(dist, `${output}.new`), kind));
  renameSync(join(dist, `${output}.new`), join(dist, output));
}
const made = mkdtempSync(join(dist, 'packs-'));
// what stands beside the packs when they run
symlinkSync('../koffi.node', join(made, 'koffi.node'));
const practice = { commands: PRACTICE, init: join(dist, 'husk-init') };
bundles.push(await writePacks('src/main.ts', made, KINDS, practice));
rmSync(join(made, 'koffi.node'));
for (const file of ['husk-main.cache', 'husk-main.cjs', 'husk.cjs']) renameSync(join(made, file), join(dist, file));
rmdirSync(made);
writeFileSync(join(dist, 'libraries.LICENSE'), licensesIn(bundles));
