/** `fork` by the engine: records, files and refusals, over a sandbox that saves three small files. */
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'ava';
import { savedLeft, sweepSaved } from '../../../src/engine/fork/saved.ts';
import { createOptions, openTestEngine, type TestEngine } from '../fixture.ts';
import { inMachine, running } from './machine.ts';

/** what forks leave */
const left = ({ paths }: TestEngine) => [
  ...(existsSync(paths.saved) ? readdirSync(paths.saved) : []),
  ...readdirSync(paths.containers).filter((id) => existsSync(join(paths.container(id), 'saved'))),
];

test('a copy is a container of its own, with the disk and what the machine was', async (t) => {
  const opened = await running(t, { labels: { of: 'mine' }, restart: { name: 'always', maximumRetryCount: 0 } });
  const { engine, paths, id } = opened;
  const told: string[] = [];
  const [copy, ...others] = await engine.fork('one', { onCopy: (each) => told.push(each) });
  t.deepEqual([others, told], [[], [copy]]);
  const { name, config, state } = engine.get(copy!);
  t.is(name, `one-fork-${copy!.slice(0, 6)}`);
  t.is(state.status, 'running');
  t.like(config, { forkedFrom: id, hostname: copy!.slice(0, 12), isolation: 'vm', labels: { of: 'mine' } });
  t.is(config.options.restart.name, 'always');
  t.is(readFileSync(join(paths.container(copy!), 'writable.ext4'), 'latin1'), 'disk');
  t.is((await engine.get(id)).state.status, 'running');
  t.like(await engine.inspect(copy!), { ForkedFrom: id });
  let log = '';
  for await (const { text } of engine.logs(copy!, { follow: true })) {
    log += text;
    if (log.includes('memory')) break;
  }
  t.is(log, 'state memory\n');
  t.deepEqual(left(opened), []);
});

test('several copies have the same disk and numbered names', async (t) => {
  const opened = await running(t);
  const ids = await opened.engine.fork('one', { count: 3, name: 'try' });
  t.deepEqual(
    ids.map((id) => opened.engine.get(id).name),
    ['try-1', 'try-2', 'try-3'],
  );
  for (const id of ids) t.is(readFileSync(join(opened.paths.container(id), 'writable.ext4'), 'latin1'), 'disk');
  t.deepEqual(left(opened), []);
});

test('forks of one container at the same time come one after another', async (t) => {
  const opened = await running(t);
  const [[first], [second]] = await Promise.all([opened.engine.fork('one'), opened.engine.fork('one')]);
  t.not(first, second);
  t.deepEqual(
    [first!, second!].map((id) => opened.engine.get(id).state.status),
    ['running', 'running'],
  );
  t.deepEqual(left(opened), []);
});

const HOSTILE: [what: string, save: string, message: RegExp][] = [
  [
    'a link in the place of the memory',
    'link',
    /the memory that the machine of container .* has saved is not a file of/,
  ],
  ['a memory that has another name, too', 'two names', /the memory that the machine .* is not a file of its own/],
  ['a memory that others may read', 'open', /the memory that the machine .* is not a file of its own/],
  ['a memory that is not there', 'nothing', /ENOENT/],
  ['a machine that cannot be saved', 'fails', /^the guest takes nothing$/],
];
for (const [what, save, message] of HOSTILE)
  test(`no copy is made of ${what}, and nothing is left`, async (t) => {
    const opened = await running(t, { env: [`SAVE=${save}`] });
    await t.throwsAsync(opened.engine.fork('one'), { message });
    t.is(opened.engine.list({ all: true }).length, 1);
    t.is(opened.engine.get('one').state.status, 'running');
    t.deepEqual(left(opened), []);
  });

for (const [what, save, elsewhere] of [
  ['the folder', 'elsewhere', 'saved-elsewhere'],
  ["the container's folder", 'all elsewhere', '../ID-elsewhere/saved'],
] as const)
  test(`a link in the place of ${what} is not followed, and what it leads to stays`, async (t) => {
    const opened = await running(t, { env: [`SAVE=${save}`] });
    await t.throwsAsync(opened.engine.fork('one'), { message: /has saved is not in a folder of its own$/ });
    const folder = join(opened.paths.container(opened.id), '..', opened.id, elsewhere.replace('ID', opened.id));
    t.deepEqual(readdirSync(folder).sort(), ['disk', 'memory', 'state']);
    t.deepEqual(readdirSync(opened.paths.saved), []);
  });

test('a name that is taken is refused before anything is saved', async (t) => {
  const opened = await running(t, { env: ['SAVE=fails'] });
  await t.throwsAsync(opened.engine.fork('one', { name: 'one' }), { message: /name "\/?one" is already in use/ });
});

test('a container in user namespaces, one that does not run, and one that is paused are refused in one line', async (t) => {
  const opened = await openTestEngine(t);
  const { engine } = opened;
  const { id } = await engine.create(createOptions({ command: ['sleep', '600'], name: 'one' }));
  await t.throwsAsync(engine.fork('one'), {
    message: 'cannot fork container one: it runs in user namespaces, where processes cannot be copied',
  });
  inMachine(opened, id);
  await t.throwsAsync(engine.fork('one'), { message: `container ${id} is not running` });
  await engine.start(id);
  await engine.pause(id);
  await t.throwsAsync(engine.fork('one'), { message: 'cannot fork container one: it is paused' });
});

test('what a killed fork has left is found and removed, and what another has the lock of stays', async (t) => {
  const opened = await running(t);
  const { engine, paths, id } = opened;
  for (const folder of [join(paths.saved, id), join(paths.container(id), 'saved')]) {
    mkdirSync(folder, { recursive: true });
    writeFileSync(join(folder, 'memory'), 'x'.repeat(5000));
  }
  const [found] = savedLeft(paths);
  t.is(found?.id, id);
  t.true(found!.size >= 10_000);
  t.true(sweepSaved(paths, { isThere: () => true }) >= 10_000);
  t.deepEqual([left(opened), savedLeft(paths)], [[], []]);
  t.is((await engine.fork('one')).length, 1);
});
