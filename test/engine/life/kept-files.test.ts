/**
 * A machine that was started for a stopped container's files serves the next command too, and is in nobody's way; over
 * the fake sandbox, as the engine sees it.
 */
import { DatabaseSync } from 'node:sqlite';
import test, { type ExecutionContext } from 'ava';
import { openTestEngine } from '../fixture.ts';

/** A container that has ended, whose record says that it is a machine's. */
async function stopped(t: ExecutionContext) {
  const fixture = await openTestEngine(t);
  const { id } = await fixture.run(['true']);
  const database = new DatabaseSync(fixture.paths.database);
  const table = database.prepare('SELECT config FROM containers WHERE id = ?').get(id) as { config: string };
  database
    .prepare('UPDATE containers SET config = ? WHERE id = ?')
    .run(JSON.stringify({ ...(JSON.parse(table.config) as object), isolation: 'vm' }), id);
  database.close();
  const claim = () => fixture.engine.list({ all: true }).find((container) => container.id === id)!.state.claim;
  return { ...fixture, id, claim };
}

/** ms that a machine is kept here: longer than anything takes on a busy host */
const LONG = 600_000;
/** before any supervisor is started, which inherits it */
const keptFor = (ms: number) => (process.env['HUSK_TEST_KEEP'] = String(ms));

test.serial('diff, then export, then diff: one machine', async (t) => {
  keptFor(LONG);
  const { engine, id, claim } = await stopped(t);
  await engine.changes(id).catch(() => {});
  const first = claim();
  t.is(first?.operation, 'copy');
  for (let i = 0; i < 3; i++) for await (const _ of await engine.export(id));
  t.deepEqual(claim(), first);
});

test.serial('several at once: one machine, and all are answered', async (t) => {
  keptFor(LONG);
  const { engine, id, claim } = await stopped(t);
  const read = async () => {
    let length = 0;
    for await (const chunk of await engine.export(id)) length += (chunk as Buffer).length;
    return length;
  };
  const lengths = await Promise.all(Array.from({ length: 5 }, read));
  t.true(lengths.every((length) => length > 0));
  t.is(claim()?.operation, 'copy');
});

for (const [what, act] of [
  ['rm', async ({ engine, id }) => engine.remove(id, {})],
  ['container prune', async ({ engine, id }, t) => t.deepEqual((await engine.prune()).deleted, [id])],
  ['start', async ({ engine, id }) => void (await engine.start(id))],
] as [string, (made: Awaited<ReturnType<typeof stopped>>, t: ExecutionContext) => Promise<unknown>][])
  test.serial(`${what} does not wait for a machine that nobody uses`, async (t) => {
    keptFor(LONG);
    const made = await stopped(t);
    for await (const _ of await made.engine.export(made.id));
    t.is(made.claim()?.operation, 'copy');
    await act(made, t);
  });

test.serial('after a while it is gone, and the next command has one of its own', async (t) => {
  keptFor(1000);
  const { engine, id, claim } = await stopped(t);
  for await (const _ of await engine.export(id));
  const first = claim()!;
  for (const end = performance.now() + 60_000; claim() !== undefined && performance.now() < end;)
    await new Promise((after) => setTimeout(after, 50));
  t.is(claim(), undefined);
  for await (const _ of await engine.export(id));
  t.notDeepEqual(claim()?.by, first.by);
});
