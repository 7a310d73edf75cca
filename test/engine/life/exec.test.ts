/**
 * An exec as a thing of its own: made, started, looked at and given a size by whatever process, over the fake sandbox.
 */
import { once } from 'node:events';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'ava';
import type { HuskError } from '../../../src/errors.ts';
import { openTestEngine, readAll } from '../fixture.ts';
import { another, background, ended, execEvents, execIds, make, OPTIONS } from './exec-fixture.ts';

const HEX = /^[0-9a-f]{64}$/;

test('made, started, ended: what is told of it at each point, and its events', async (t) => {
  const fixture = await openTestEngine(t);
  const { engine } = fixture;
  const container = await background(fixture);
  t.is(await execIds(engine, container), null);
  const id = await make(fixture, container, ['sh', '-c', 'read line; exit 5'], { interactive: true, user: '0' });
  t.regex(id, HEX);
  const made = engine.execInspect(id);
  t.like(made, { id, container, running: false, exitCode: null, pid: 0 });
  t.is(made.options.user, '0');
  t.deepEqual(await execIds(engine, container), [id]);
  const attachment = (await engine.execStart(id, { detach: false }))!;
  const running = engine.execInspect(id);
  t.like(running, { running: true, exitCode: null });
  t.regex(readFileSync(`/proc/${running.pid}/cmdline`, 'latin1'), /read line/);
  t.deepEqual(await execIds(engine, container), [id]);
  attachment.stdin!.end('\n');
  t.is((await readAll(attachment)).code, 5);
  // its client has heard of its end, and so has everybody
  t.like(engine.execInspect(id), { running: false, exitCode: 5, pid: running.pid });
  t.is(await execIds(engine, container), null);
  t.deepEqual(execEvents(fixture), [
    'exec_create: sh -c read line; exit 5',
    'exec_start: sh -c read line; exit 5',
    'exec_die 5',
  ]);
});

test("the command line's exec is made and started in one, and has the same events", async (t) => {
  const fixture = await openTestEngine(t);
  const { engine } = fixture;
  const container = await background(fixture);
  t.is((await readAll((await engine.exec(container, { ...OPTIONS, command: ['true'] }))!)).code, 0);
  t.deepEqual(execEvents(fixture), ['exec_create: true', 'exec_start: true', 'exec_die 0']);
  // what is known to be wrong before leaves nothing
  await t.throwsAsync(engine.exec(container, { ...OPTIONS, command: [] }), { message: 'No exec command specified' });
  t.is(await execIds(engine, container), null);
});

test('detached: it runs when the promise is kept', async (t) => {
  const fixture = await openTestEngine(t);
  const { engine, dataRoot } = fixture;
  const container = await background(fixture);
  const gate = join(dataRoot, 'gate');
  const id = await make(fixture, container, ['sh', '-c', `while ! test -e ${gate}; do sleep 0.02; done; exit 4`]);
  t.is(await engine.execStart(id, { detach: true }), undefined);
  t.true(engine.execInspect(id).running);
  writeFileSync(gate, '');
  t.is((await ended(engine, id)).exitCode, 4);
});

for (const [name, attach, expected] of [
  ['both outputs', undefined, { stdout: 'o\n', stderr: 'e\n' }],
  ['stdout alone', { stdout: true, stderr: false }, { stdout: 'o\n', stderr: '' }],
  ['stderr alone', { stdout: false, stderr: true }, { stdout: '', stderr: 'e\n' }],
  ['no output', { stdout: false, stderr: false }, { stdout: '', stderr: '' }],
] as const)
  test(`an attachment carries ${name}`, async (t) => {
    const fixture = await openTestEngine(t);
    const container = await background(fixture);
    const id = await make(fixture, container, ['sh', '-c', 'echo o; echo e >&2'], { ...(attach && { attach }) });
    const attachment = (await fixture.engine.execStart(id, { detach: false }))!;
    t.deepEqual(await readAll(attachment), { code: 0, ...expected });
  });

for (const [command, exitCode] of [
  ['no-such-command', 127],
  ['/etc/passwd', 126],
] as const)
  for (const detach of [false, true])
    test(`${command} can be made, but not started${detach ? ' detached' : ''}: ${exitCode}, and once`, async (t) => {
      const fixture = await openTestEngine(t);
      const { engine } = fixture;
      const container = await background(fixture);
      const id = await make(fixture, container, [command]);
      const error = await t.throwsAsync<HuskError>(engine.execStart(id, { detach }));
      t.like(error, { kind: 'start-failed', exitCode });
      t.like(engine.execInspect(id), { running: false, exitCode, pid: 0 });
      t.is(await execIds(engine, container), null);
      await t.throwsAsync(engine.execStart(id, { detach }), { message: `Error: Exec command ${id} has already run` });
      t.deepEqual(execEvents(fixture), [`exec_create: ${command}`]);
    });

test('a second start is refused while it runs, and afterwards', async (t) => {
  const fixture = await openTestEngine(t);
  const { engine } = fixture;
  const id = await make(fixture, await background(fixture), ['cat'], { interactive: true });
  const attachment = (await engine.execStart(id, { detach: false }))!;
  const again = () => t.throwsAsync<HuskError>(engine.execStart(id, { detach: true }));
  t.like(await again(), { kind: 'conflict', message: `Error: Exec command ${id} is already running` });
  attachment.stdin!.end();
  await readAll(attachment);
  t.like(await again(), { kind: 'conflict', message: `Error: Exec command ${id} has already run` });
});

test('made by one process, started at once by two others: one wins; a fourth knows its code', async (t) => {
  const fixture = await openTestEngine(t);
  const { engine } = fixture;
  const container = await background(fixture);
  const { value } = await another(fixture, 'create', container).answer();
  const id = String(value);
  t.is(engine.execInspect(id).container, container);
  const starters = [1, 2].map(() => another(fixture, 'start', id));
  const first = await Promise.all(starters.map(async (starter) => ({ starter, line: await starter.line() })));
  const [winners, losers] = [true, false].map((won) => first.filter(({ line }) => (line === 'started') === won));
  t.deepEqual([winners!.length, losers!.length], [1, 1]);
  t.deepEqual(JSON.parse(losers![0]!.line), {
    kind: 'conflict',
    message: `Error: Exec command ${id} is already running`,
  });
  t.true(engine.execInspect(id).running);
  winners![0]!.starter.child.stdin.end('through');
  t.deepEqual((await winners![0]!.starter.answer()).value, { code: 7, stdout: 'through', stderr: '' });
  t.like((await another(fixture, 'inspect', id).answer()).value, { running: false, exitCode: 7 });
  t.deepEqual(execEvents(fixture).length, 3);
});

test('a server that is killed leaves the command running, with its stdin at its end', async (t) => {
  const fixture = await openTestEngine(t);
  const { engine } = fixture;
  const id = await make(fixture, await background(fixture), ['sh', '-c', 'cat; read line </dev/tty; exit 9'], {
    interactive: true,
  });
  const server = another(fixture, 'start', id);
  t.is(await server.line(), 'started');
  const { pid } = engine.execInspect(id);
  server.child.kill('SIGKILL');
  // cat has read to the end of what nobody writes any more; nothing else ends it
  t.is((await ended(engine, id)).exitCode, 9);
  t.false(existsSync(`/proc/${pid}`));
});

for (const [how, options, events] of [
  ['is detached', {}, ['exec_detach']],
  ['has gone', { gone: true }, []],
] as const)
  test(`a client that ${how} leaves the command running`, async (t) => {
    const fixture = await openTestEngine(t);
    const { engine, dataRoot } = fixture;
    const container = await background(fixture);
    const gate = join(dataRoot, 'gate');
    const id = await make(fixture, container, [
      'sh',
      '-c',
      `while ! test -e ${gate}; do echo; sleep 0.02; done; exit 4`,
    ]);
    const attachment = (await engine.execStart(id, { detach: false }))!;
    await once(attachment.stdout, 'data');
    attachment.detach(options);
    t.true(engine.execInspect(id).running);
    t.deepEqual(execEvents(fixture).slice(2), events as unknown as string[]);
    writeFileSync(gate, '');
    t.is((await ended(engine, id)).exitCode, 4);
  });

test('a size: waits until the command is started, and is refused once it has ended', async (t) => {
  const fixture = await openTestEngine(t);
  const { engine } = fixture;
  const container = await background(fixture);
  const id = await make(fixture, container, ['cat'], { interactive: true });
  const waits = another(fixture, 'resize', id);
  const asked = waits.answer();
  const attachment = (await engine.execStart(id, { detach: false }))!;
  t.deepEqual(await asked, { value: null });
  await engine.execResize(id, { columns: Number.NaN, rows: 1e9 });
  attachment.stdin!.end();
  await readAll(attachment);
  t.like(await t.throwsAsync<HuskError>(engine.execResize(id, { columns: 1, rows: 1 })), {
    kind: 'not-found',
    message: `process does not exist ${id}: not found`,
  });
});

test('a size for what nobody starts is given up', async (t) => {
  const fixture = await openTestEngine(t);
  const id = await make(fixture, await background(fixture), ['true']);
  t.like(await t.throwsAsync<HuskError>(fixture.engine.execResize(id, { columns: 1, rows: 1 })), {
    kind: 'unavailable',
    message: 'timeout waiting for exec session ready',
  });
});
