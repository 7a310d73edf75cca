/**
 * The layer check: which folder may import which. The list is design law (docs/architecture.md § Rooms); an arrow goes
 * down it, never up.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, normalize } from 'node:path';
import test from 'ava';

/** Top to bottom. A room may import itself, rooms below it, and what `mayImport` narrows it to. */
const ROOMS = [
  'cli',
  'library',
  'service',
  'engine',
  'supervisor',
  'images',
  'network',
  'volumes',
  'logs',
  'vmm',
  'rootless',
  'guest-agent',
  'network/names',
  'container',
  'launch',
  'tar',
  'host',
  'state',
  'notation',
];
/** Docker's words as values: every room may read them, and this one imports errors.ts alone. */
const GROUND = 'notation';
/** Single files at the foot of everything: contracts and vocabulary. */
const FOUNDATION = new Set([
  'errors.ts',
  'paths.ts',
  'data-root.ts',
  'runtime-folder.ts',
  'long-timer.ts',
  'whole-file.ts',
  'open-file.ts',
  'config.ts',
  'sandbox.ts',
  'build-sandbox.ts',
  'agent-protocol.ts',
  'version.ts',
  'program.ts',
  'run-program.ts',
  'missing-folders.ts',
  'trace.ts',
  'spec.ts',
]);
/** Stricter than "anything below". */
const ONLY: Record<string, string[]> = {
  cli: ['library', 'service', 'engine', 'images'],
  library: ['engine', 'images'],
  service: ['engine', 'images', 'tar', 'notation'],
  vmm: ['host'],
  'guest-agent': ['network/names', 'container', 'launch', 'tar', 'host'],
  'network/names': ['host'],
  rootless: ['container', 'launch', 'tar', 'host'],
  container: ['launch', 'tar', 'host'],
  launch: ['host'],
  tar: [],
  host: [],
  state: [],
  notation: [],
  logs: ['host', 'state'],
};
/** files side by side, before a folder wants wings */
const MOST_FILES = 24;
/** Type-only contract files any room above may name without importing the room's code. */
const isTypeOnly = (statement: string) =>
  /^(import|export)\s+type\b/.test(statement) || /^import\('[^']+'\)/.test(statement);
/** a statement, over as many lines as it has; or a call, or the type of a module */
const IMPORT = /^(?:import|export)\b[^;']*?\bfrom '(\.[^']+)'|^import '(\.[^']+)'|\bimport\(\s*'(\.[^']+)'/gm;

const root = join(import.meta.dirname, '..');
const files = readdirSync(join(root, 'src'), { recursive: true, encoding: 'utf8' }).filter((name) =>
  name.endsWith('.ts'),
);

function imports(file: string): { target: string; statement: string }[] {
  const text = readFileSync(join(root, 'src', file), 'utf8');
  return [...text.matchAll(IMPORT)].map(([statement, from, effect, call]) => ({
    target: normalize(join(dirname(file), (from ?? effect ?? call)!)),
    statement,
  }));
}

/** The one room within another: a container's name server, which a VM's guest has too. */
const INNER = 'network/names';

function roomOf(file: string): string | undefined {
  if (file.startsWith(`${INNER}/`)) return INNER;
  return file.includes('/') ? file.split('/')[0]! : undefined;
}

test('every import goes down the list of rooms', (t) => {
  const wrong: string[] = [];
  for (const file of files) {
    const room = roomOf(file);
    for (const { target, statement } of imports(file)) {
      const targetRoom = roomOf(target);
      if (targetRoom === room) continue;
      if (targetRoom === undefined) {
        if (room === GROUND && target !== 'errors.ts') wrong.push(`src/${file} imports src/${target}`);
        if (room !== undefined && !FOUNDATION.has(target))
          wrong.push(`src/${file} imports src/${target}, which is not a foundation file`);
        continue;
      }
      if (room === undefined) {
        if (FOUNDATION.has(file) && !isTypeOnly(statement))
          wrong.push(`src/${file} is a foundation file and imports src/${target}`);
        continue;
      }
      if (targetRoom === GROUND) continue;
      const allowed = ONLY[room] ?? ROOMS.slice(ROOMS.indexOf(room) + 1);
      if (!allowed.includes(targetRoom) && !(isTypeOnly(statement) && ROOMS.indexOf(targetRoom) > ROOMS.indexOf(room)))
        wrong.push(`src/${file} imports src/${target}: ${room} may import ${allowed.join(', ') || 'nothing'}`);
    }
  }
  t.deepEqual(wrong, []);
});

test('only src/host imports koffi', (t) => {
  const wrong = files.filter(
    (file) =>
      roomOf(file) !== 'host' &&
      /from 'koffi'|require\('koffi'\)|import\('koffi'\)/.test(readFileSync(join(root, 'src', file), 'utf8')),
  );
  t.deepEqual(wrong, []);
});

test('every folder of src is a room', (t) => {
  const folders = new Set(files.map(roomOf).filter((room) => room !== undefined));
  t.deepEqual(
    [...folders].filter((room) => !ROOMS.includes(room)),
    [],
  );
});

/**
 * The command table names each command's file and loads it when the command runs; `help` and completion are commands
 * that read the table.
 */
const isCommandOfTable = (file: string, target: string) =>
  file.startsWith('cli/table/') && target.startsWith('cli/commands/');

test('no file imports, by any number of others, itself', (t) => {
  const targets = files.map((file): [string, string[]] => [
    file,
    imports(file).flatMap(({ target }) => (isCommandOfTable(file, target) ? [] : [target])),
  ]);
  t.deepEqual(circles(new Map(targets)), []);
});

/**
 * A lazy import() is how a command or a part is started, and no arrow of the drawing; the list of rooms holds for it
 * all the same.
 */
test('no folder imports, by any number of others, itself', (t) => {
  const targets = new Map<string, Set<string>>();
  for (const file of files)
    for (const { target, statement } of imports(file)) {
      const [from, to] = [dirname(file), dirname(target)];
      if (from === to || to === '.' || statement.startsWith('import(')) continue;
      targets.set(from, (targets.get(from) ?? new Set()).add(to));
    }
  t.deepEqual(circles(targets), []);
});

test('no folder but that of the commands has more than some twenty files', (t) => {
  const counts = new Map<string, number>();
  for (const file of files) counts.set(dirname(file), (counts.get(dirname(file)) ?? 0) + 1);
  t.deepEqual(
    [...counts].filter(([folder, count]) => count > MOST_FILES && folder !== 'cli/commands'),
    [],
  );
});

/**
 * Each walk follows the arrows that no earlier walk has followed to their ends; what is met again on the way closes a
 * circle.
 */
function circles(targets: ReadonlyMap<string, Iterable<string>>): string[] {
  const done = new Set<string>();
  const found: string[] = [];
  const walk = (from: string, way: readonly string[]) => {
    const start = way.indexOf(from);
    if (start !== -1) return void found.push([...way.slice(start), from].join(' → '));
    if (done.has(from)) return;
    for (const target of targets.get(from) ?? []) walk(target, [...way, from]);
    done.add(from);
  };
  for (const from of targets.keys()) walk(from, []);
  return found;
}
