/** The bundle in packs: what a command loads is what it needs; the code cache is taken, and nothing depends on it. */
import { spawnSync } from 'node:child_process';
import { cpSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { ROOT } from '../fixtures/user.ts';

const PARTS = ['husk.cjs', 'husk-main.cjs', 'husk-main.cache', 'koffi.node', 're2js.cjs'];
const built = existsSync(join(ROOT, 'dist/husk.cjs'));
const titled = (title: string) => `${title}${built ? '' : ' (needs make build)'}`;
const check = built ? test : test.skip;

function scratch(t: ExecutionContext): string {
  const folder = mkdtempSync(join(tmpdir(), 'husk-packs-'));
  t.teardown(() => rmSync(folder, { recursive: true }));
  return folder;
}

function run(folder: string, args: readonly string[]) {
  const { status, stdout, stderr } = spawnSync(process.execPath, args, {
    encoding: 'utf8',
    env: { PATH: process.env['PATH'], HOME: folder, HUSK_DATA_ROOT: join(folder, 'data'), XDG_RUNTIME_DIR: folder },
  });
  return { status, stdout, stderr };
}

const FLAG = '--disable-warning=ExperimentalWarning';

for (const words of [['ps'], ['inspect', 'absent'], ['logs', 'absent']])
  check(titled(`husk ${words.join(' ')} makes no module of Node's that it has no use for`), (t) => {
    const folder = scratch(t);
    // a new data root is given its reserve of random bytes
    run(folder, [FLAG, join(ROOT, 'dist/husk.cjs'), 'ps']);
    const hook = join(folder, 'hook.cjs');
    const list = `process.on('exit', () => console.log('MADE ' + process.moduleLoadList.join(',')))`;
    writeFileSync(hook, list);
    const { stdout } = run(folder, [FLAG, '--require', hook, join(ROOT, 'dist/husk.cjs'), ...words]);
    const made = /^MADE (.*)$/m.exec(stdout)![1]!.split(',');
    t.true(made.includes('NativeModule sqlite'));
    t.deepEqual(
      made.filter((name) => /^NativeModule (crypto|child_process|dgram|http|zlib|worker_threads)$/.test(name)),
      [],
    );
  });

check(titled("Node's own modules are made when they are used, those of a folder too"), (t) => {
  const code = readFileSync(join(ROOT, 'dist/husk-main.cjs'), 'latin1');
  const before = new Set([...code.matchAll(/\bvar \w+=require\("node:([\w/]+)"\)/g)].map(([, name]) => name!));
  // Node has made these for itself
  for (const name of ['buffer', 'events', 'fs', 'path', 'timers', 'url', 'util']) before.delete(name);
  t.deepEqual([...before], []);
});

check(titled('no function of a module hides those by which packs load each other'), (t) => {
  const code = readFileSync(join(ROOT, 'dist/husk-main.cjs'), 'latin1');
  const [, given] = /^\(function\(([\w,]+)\)/.exec(code)!;
  const own = given!.split(',').filter((name) => name.startsWith('__') && !/^__(dirname|filename)$/.test(name));
  t.deepEqual(own, ['__load', '__builtin', '__export', '__toESM']);
  // a library may bring the last two along, as esbuild has written them too
  for (const name of own.slice(0, 2)) t.notRegex(code, new RegExp(`\\b(?:function|class|const|let|var) ${name}\\b`));
  // which modules have of their own
  t.regex(code, /\bfunction load\(/);
});

check(titled('V8 takes the code cache of every pack that a command loads'), (t) => {
  const folder = scratch(t);
  const main = join(folder, 'main.cjs');
  writeFileSync(
    main,
    `const { scripts } = require(${JSON.stringify(join(ROOT, 'dist/husk.cjs'))});
    process.on('exit', () => console.log('TAKEN ' + scripts.map((script) => !script.cachedDataRejected).join(',')));`,
  );
  const { stdout } = run(folder, [FLAG, main, 'ps']);
  t.regex(stdout, /^TAKEN (,*true)+,*$/m);
});

check(titled('the code cache has what a supervisor runs, not only its outline'), (t) => {
  const [, index] = /\blengths \} = (\{.*\});$/m.exec(readFileSync(join(ROOT, 'dist/husk.cjs'), 'utf8'))!;
  const { lengths } = JSON.parse(index!) as { lengths: [source: number, cache: number][] };
  const code = readFileSync(join(ROOT, 'dist/husk-main.cjs'), 'latin1');
  let at = 0;
  const pack = lengths.find(([length]) => code.slice(at, (at += length)).includes('ContainerLife=class'))!;
  // without a supervisor in the build's practice (setup/practice.ts) it is a third of the source
  t.true(pack[1] > pack[0], `${pack[1]} bytes of code cache for ${pack[0]} of source`);
});

check(titled("what root's commands load besides is apart from what a supervisor runs"), (t) => {
  const [, index] = /\blengths \} = (\{.*\});$/m.exec(readFileSync(join(ROOT, 'dist/husk.cjs'), 'utf8'))!;
  const { lengths } = JSON.parse(index!) as { lengths: [source: number, cache: number][] };
  const code = readFileSync(join(ROOT, 'dist/husk-main.cjs'), 'latin1');
  let at = 0;
  const packs = lengths.map(([length]) => code.slice(at, (at += length)));
  const [supervisor, ids] = ['ContainerLife=class', 'function containerRootGroup('].map((text) =>
    packs.findIndex((pack) => pack.includes(text)),
  );
  t.true(supervisor! >= 0 && ids! >= 0, `${supervisor} ${ids}`);
  t.not(supervisor, ids);
});

check(titled('without the code cache a command says the same'), (t) => {
  const folder = scratch(t);
  for (const part of PARTS) cpSync(join(ROOT, 'dist', part), join(folder, part));
  const commands = [['--help'], ['ps'], ['inspect', 'absent'], ['run', '--help'], ['pull', 'a b']];
  const said = () => commands.map((words) => run(folder, [FLAG, join(folder, 'husk.cjs'), ...words]));
  const before = said();
  t.deepEqual(
    before.map(({ status }) => status),
    [0, 0, 1, 0, 1],
  );
  rmSync(join(folder, 'husk-main.cache'));
  t.deepEqual(said(), before);
});

check(titled('a bundle that was cut off says so'), (t) => {
  const folder = scratch(t);
  for (const part of PARTS) cpSync(join(ROOT, 'dist', part), join(folder, part));
  writeFileSync(join(folder, 'husk-main.cjs'), '');
  const { status, stderr } = run(folder, [FLAG, join(folder, 'husk.cjs'), 'ps']);
  t.not(status, 0);
  t.regex(stderr, /husk-main\.cjs is shorter than it was made: install husk again/);
});
