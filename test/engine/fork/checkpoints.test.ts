/** Checkpoints by the engine, over a sandbox that saves three small files. */
import { chmodSync, existsSync, mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'ava';
import { checkpointsOf, sweepSaved } from '../../../src/engine/fork/saved.ts';
import { inMachine, running } from './machine.ts';
import { createOptions, openTestEngine } from '../fixture.ts';

test('a container ends with its checkpoint, and goes on from it with the disk of that moment', async (t) => {
  const { engine, paths, id } = await running(t);
  const disk = join(paths.container(id), 'writable.ext4');
  await engine.createCheckpoint('one', 'first');
  t.is(engine.get(id).state.status, 'exited');
  t.deepEqual(await engine.checkpoints('one'), ['first']);
  writeFileSync(disk, 'written since');
  await engine.start(id, { checkpoint: { name: 'first' } });
  t.is(engine.get(id).state.status, 'running');
  t.deepEqual([readFileSync(disk, 'latin1'), existsSync(`${disk}.before`)], ['disk', false]);
  let log = '';
  for await (const { text } of engine.logs(id, { follow: true })) {
    log += text;
    if (log.includes('memory')) break;
  }
  t.is(log, 'state memory\n');
  await t.throwsAsync(engine.start(id, { checkpoint: { name: 'first' } }), { message: /is already running/ });
});

test('one may run on, names are listed in order, and a checkpoint goes by its name or with its container', async (t) => {
  const { engine, paths, id } = await running(t);
  for (const name of ['second', 'first']) await engine.createCheckpoint('one', name, { leaveRunning: true });
  t.is(engine.get(id).state.status, 'running');
  t.deepEqual(await engine.checkpoints('one'), ['first', 'second']);
  await t.throwsAsync(engine.createCheckpoint('one', 'first'), {
    message: 'checkpoint with name first already exists for container one',
  });
  t.is(engine.get(id).state.status, 'running');
  await engine.removeCheckpoint('one', 'first');
  t.deepEqual(await engine.checkpoints('one'), ['second']);
  await engine.remove(id, { force: true });
  t.false(existsSync(checkpointsOf(paths, id)));
});

test('a folder of the user has them as well, and what else is in it stays', async (t) => {
  const { engine, dataRoot, id } = await running(t);
  const directory = join(dataRoot, 'mine');
  await engine.createCheckpoint('one', 'first', { directory });
  t.deepEqual(readdirSync(join(directory, 'first')).sort(), ['disk', 'memory', 'state']);
  t.deepEqual([await engine.checkpoints('one'), await engine.checkpoints('one', { directory })], [[], ['first']]);
  await engine.start(id, { checkpoint: { name: 'first', directory } });
  t.is(engine.get(id).state.status, 'running');
  writeFileSync(join(directory, 'first', 'notes'), '');
  await t.throwsAsync(engine.removeCheckpoint('one', 'first', { directory }));
  t.deepEqual(readdirSync(join(directory, 'first')), ['notes']);
});

for (const name of ['..', '.hidden', 'a/b', '', 'a'])
  test(`"${name}" is no name of a checkpoint`, async (t) => {
    const { engine } = await running(t);
    await t.throwsAsync(engine.createCheckpoint('one', name), { message: /^Invalid checkpoint ID/ });
    await t.throwsAsync(engine.removeCheckpoint('one', name), { message: /does not exist for container one$/ });
  });

const FORGED: [what: string, forge: (place: string) => void][] = [
  ['whose memory others may read', (place) => chmodSync(join(place, 'memory'), 0o644)],
  ['whose folder others may write to', (place) => chmodSync(place, 0o777)],
];
for (const [what, forge] of FORGED)
  test(`a checkpoint ${what} is not gone on from, and the container keeps its disk`, async (t) => {
    const { engine, paths, id } = await running(t);
    await engine.createCheckpoint('one', 'first');
    const disk = join(paths.container(id), 'writable.ext4');
    writeFileSync(disk, 'kept');
    forge(join(checkpointsOf(paths, id), 'first'));
    await t.throwsAsync(engine.start(id, { checkpoint: { name: 'first' } }), { message: /others may have written it/ });
    t.is(readFileSync(disk, 'latin1'), 'kept');
  });

test('a link is no checkpoint', async (t) => {
  const { engine, paths, id, dataRoot } = await running(t);
  mkdirSync(checkpointsOf(paths, id), { recursive: true });
  symlinkSync(dataRoot, join(checkpointsOf(paths, id), 'first'));
  await engine.stop(id, { timeout: 0 });
  await t.throwsAsync(engine.start(id, { checkpoint: { name: 'first' } }), {
    message: 'checkpoint first does not exist for container one',
  });
});

test('a start that fails leaves the disk that the container had', async (t) => {
  const { engine, paths, id } = await running(t);
  await engine.createCheckpoint('one', 'first');
  const disk = join(paths.container(id), 'writable.ext4');
  writeFileSync(disk, 'kept');
  // the sandbox reads a state that is not there
  writeFileSync(join(checkpointsOf(paths, id), 'first', 'state'), 'fails');
  await t.throwsAsync(engine.start(id, { checkpoint: { name: 'first' } }), { message: /this machine cannot go on/ });
  t.deepEqual([readFileSync(disk, 'latin1'), engine.get(id).state.status], ['kept', 'exited']);
});

test('in user namespaces there is none', async (t) => {
  const opened = await openTestEngine(t);
  const { engine } = opened;
  const { id } = await engine.create(createOptions({ command: ['sleep', '600'], name: 'one' }));
  await engine.start(id);
  const message = /container one: it runs in user namespaces, where processes cannot be copied$/;
  await t.throwsAsync(engine.createCheckpoint('one', 'first'), { message });
  await engine.stop(id, { timeout: 0 });
  await t.throwsAsync(engine.start(id, { checkpoint: { name: 'first' } }), { message });
  inMachine(opened, id);
  await t.throwsAsync(engine.start(id, { checkpoint: { name: 'first' } }), { message: /does not exist/ });
});

test('checkpoints of a container that has removed itself are swept', async (t) => {
  const { engine, paths, id } = await running(t);
  await engine.createCheckpoint('one', 'first');
  sweepSaved(paths, { isThere: () => true });
  t.deepEqual(await engine.checkpoints('one'), ['first']);
  sweepSaved(paths, { isThere: (each) => each !== id });
  t.deepEqual(await engine.checkpoints('one'), []);
});
