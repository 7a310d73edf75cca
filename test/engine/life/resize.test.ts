/**
 * `resize` of a container that nobody is attached to, over the fake sandbox; a real one is in
 * test/library/husk.test.ts.
 */
import test from 'ava';
import { createOptions, openTestEngine, type TestEngine } from '../fixture.ts';

const FOREVER = ['sleep', '1000'];

async function made({ engine }: TestEngine, command = FOREVER): Promise<string> {
  return (await engine.create(createOptions({ command, tty: true }))).id;
}

test('a running container is given a size, and an event tells of it', async (t) => {
  const fixture = await openTestEngine(t);
  const { engine } = fixture;
  const id = await made(fixture);
  await engine.start(id);
  await engine.resize(id.slice(0, 12), { columns: 100, rows: 30 });
  await engine.resize(id, { columns: 0, rows: 65_535 });
  const sizes: object[] = [];
  const filters = { container: [id], event: ['resize'] };
  for await (const { Actor } of engine.events({ since: 0, until: Date.now() + 1, filters }))
    sizes.push({ width: Actor.Attributes['width'], height: Actor.Attributes['height'] });
  t.deepEqual(sizes, [
    { width: '100', height: '30' },
    { width: '0', height: '65535' },
  ]);
});

for (const [columns, rows] of [
  [-1, 30],
  [80, 65_536],
  [80.5, 30],
  [Number.NaN, 30],
  [80, Number.POSITIVE_INFINITY],
] as const)
  test(`no terminal has ${columns} columns and ${rows} rows`, async (t) => {
    const fixture = await openTestEngine(t);
    const id = await made(fixture);
    await fixture.engine.start(id);
    const error = await t.throwsAsync(fixture.engine.resize(id, { columns, rows }), {
      message: /invalid size of a terminal: .* each is a whole number, 0-65535/,
    });
    t.like(error, { kind: 'invalid' });
  });

test("one that does not run is refused in Docker's words", async (t) => {
  const fixture = await openTestEngine(t);
  const { engine } = fixture;
  const size = { columns: 80, rows: 24 };
  const [created, exited] = [await made(fixture), await made(fixture, ['true'])];
  await engine.start(exited);
  await engine.wait(exited);
  for (const id of [created, exited]) {
    const error = await t.throwsAsync(engine.resize(id, size), { message: `container ${id} is not running` });
    t.like(error, { kind: 'conflict' });
  }
  await t.throwsAsync(engine.resize('nobody', size), { message: 'No such container: nobody' });
});

test('one that waits for its next start has no terminal', async (t) => {
  const fixture = await openTestEngine(t);
  const { engine } = fixture;
  const restart = { name: 'always', maximumRetryCount: 0 } as const;
  const { id } = await engine.create(createOptions({ command: ['false'], tty: true, restart }));
  await engine.start(id);
  while (!(engine.get(id).state.restartCount >= 3 && engine.get(id).state.status === 'restarting'))
    await new Promise((next) => setTimeout(next, 5));
  await t.throwsAsync(engine.resize(id, { columns: 80, rows: 24 }), { message: `container ${id} is not running` });
});
