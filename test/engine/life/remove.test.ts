/** Forced removals, and stops, of containers whose supervisor cannot be asked. */
import { rmSync } from 'node:fs';
import test from 'ava';
import { identifySelf, isAlive } from '../../../src/state/process-identity.ts';
import { ContainerStore } from '../../../src/state/containers.ts';
import { openDatabase } from '../../../src/state/database.ts';
import { readAccess } from '../../../src/supervisor/protocol/access.ts';
import { createOptions, openTestEngine } from '../fixture.ts';

async function withoutSocket(t: Parameters<typeof openTestEngine>[0]) {
  const fixture = await openTestEngine(t);
  const { id } = await fixture.engine.create(
    createOptions({ command: ['sleep', '1000'], restart: { name: 'always', maximumRetryCount: 0 } }),
  );
  await fixture.engine.start(id);
  rmSync(readAccess(fixture.paths, id).socket);
  return { ...fixture, id, state: fixture.engine.get(id).state };
}

test('rm -f of a container whose socket is gone kills its supervisor, and with it the container', async (t) => {
  const { engine, id, state } = await withoutSocket(t);
  await engine.remove(id, { force: true });
  t.deepEqual([isAlive(state.supervisor), isAlive(state.process)], [false, false]);
  t.throws(() => engine.get(id), { message: `No such container: ${id}` });
});

test('stop of a container whose socket is gone stops it, and its restart policy rests', async (t) => {
  const { engine, id } = await withoutSocket(t);
  await engine.stop(id);
  t.like(engine.get(id).state, { status: 'exited', stoppedByUser: true });
});

test('rm -f waits for a removal by another process, and is content with it; rm says that it is under way', async (t) => {
  const { engine, paths } = await openTestEngine(t);
  const { id } = await engine.create(createOptions());
  const database = openDatabase(paths.database);
  t.teardown(() => database.close());
  const store = new ContainerStore(database);
  store.change(id, (state) => ({ ...state, status: 'removing', claim: { by: identifySelf(), operation: 'remove' } }));
  await t.throwsAsync(engine.remove(id), { message: `removal of container ${id} is already in progress` });
  const removed = engine.remove(id, { force: true });
  // it is looking by now, and the other one gets done
  await new Promise((turn) => setImmediate(turn));
  store.delete(id);
  await removed;
  t.deepEqual(engine.list({ all: true }), []);
});
