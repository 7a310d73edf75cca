/**
 * Attach before a start by somebody else: a container's output waits for whoever is attached to it already, whichever
 * process starts it, and for nobody who has gone.
 */
import test, { type ExecutionContext } from 'ava';
import type { CreateOptions, Engine } from '../../../../src/engine/contract.ts';
import { ContainerStore } from '../../../../src/state/containers.ts';
import { openDatabase } from '../../../../src/state/database.ts';
import { identifySelf } from '../../../../src/state/process-identity.ts';
import { STALL_TIMEOUT_MS } from '../../../../src/supervisor/life/fan-out.ts';
import { createOptions, openTestEngine, readAll as readBoth } from '../../../engine/fixture.ts';
import { ask, framesIn, hijack, readAll, startServer, type TestServer } from '../../fixture.ts';

interface Servers {
  here: TestServer;
  there: TestServer;
  engine: Engine;
  store: ContainerStore;
  make(command: string, options?: Partial<CreateOptions>): Promise<string>;
}

/** Two servers of one data root, each with an engine of its own; supervisors are processes. */
async function twoServers(t: ExecutionContext): Promise<Servers> {
  const { engine, dataRoot, paths } = await openTestEngine(t);
  const { engine: other } = await openTestEngine(undefined, dataRoot);
  const database = openDatabase(paths.database);
  t.teardown(() => database.close());
  t.teardown(() => other[Symbol.dispose]());
  const [here, there] = [await startServer(engine), await startServer(other)];
  for (const server of [here, there])
    t.teardown(async () => {
      await server[Symbol.asyncDispose]();
      if (server.bugs.length > 0) throw server.bugs[0];
    });
  return {
    here,
    there,
    engine: other,
    store: new ContainerStore(database),
    make: async (command, options) =>
      (await engine.create(createOptions({ command: ['sh', '-c', command], ...options }))).id,
  };
}

const attach = (server: TestServer, id: string, query = '') =>
  hijack(server, `/v1.44/containers/${id}/attach?stream=1&stdout=1&stderr=1${query}`);

/** @returns ms from its start to its first line, as both are recorded */
async function heldFor(engine: Engine, id: string): Promise<number> {
  for await (const { time } of engine.logs(id)) return Date.parse(time) - Date.parse(engine.get(id).state.startedAt);
  throw new Error('it has written nothing');
}

test('clients of two servers see all from the first byte, whichever of them starts it', async (t) => {
  const { here, there, make } = await twoServers(t);
  const id = await make('echo out; echo err >&2; head -c 1000000 /dev/zero; exit 3');
  const clients = await Promise.all([attach(here, id), attach(here, id), attach(there, id), attach(there, id)]);
  const seen = clients.map(({ stream }) => readAll(stream));
  t.is((await ask(there, 'POST', `/containers/${id}/start`)).status, 204);
  for (const bytes of await Promise.all(seen)) {
    const frames = framesIn(bytes);
    const text = (stream: number) => frames.map(([of, part]) => (of === stream ? part : '')).join('');
    t.true(text(1) === `out\n${'\0'.repeat(1_000_000)}`, `${text(1).length} bytes`);
    t.is(text(2), 'err\n');
  }
});

for (const [what, query, terminal] of [
  ['one line, and its end at once', '', false],
  ['with the log asked for', '&logs=1', false],
  ['a terminal', '', true],
] as const)
  test(`started by a command: ${what}`, async (t) => {
    const { here, engine, make } = await twoServers(t);
    const id = await make('echo hello', { tty: terminal });
    for (const isAgain of [false, true]) {
      const { stream } = await attach(here, id, query);
      const ended = engine.wait(id, { condition: 'next-exit' });
      await engine.start(id);
      const bytes = await readAll(stream);
      const text = terminal
        ? bytes.toString()
        : framesIn(bytes)
            .map(([, part]) => part)
            .join('');
      // The log of the first life comes before the second one's output.
      t.is(text, query !== '' && isAgain ? 'hello\nhello\n' : 'hello\n');
      t.deepEqual(await ended, { code: 0 });
    }
  });

test('stdin that waits goes to a container that a command starts', async (t) => {
  const { here, engine, make } = await twoServers(t);
  const id = await make('cat', { interactive: true });
  const { stream } = await attach(here, id, '&stdin=1');
  stream.end('typed before the start');
  await engine.start(id);
  t.deepEqual(framesIn(await readAll(stream)), [[1, 'typed before the start']]);
});

test('a start elsewhere that fails ends the wait, and so does a removal', async (t) => {
  const { here, engine, make } = await twoServers(t);
  const id = await make('true');
  const failing = (await engine.create(createOptions({ command: ['nosuchcommand'] }))).id;
  const [one, other] = [await attach(here, failing), await attach(here, id)];
  await t.throwsAsync(engine.start(failing), { message: /nosuchcommand/ });
  t.is((await readAll(one.stream)).length, 0);
  await engine.remove(id);
  t.is((await readAll(other.stream)).length, 0);
});

test('nobody is awaited who has gone: the client, or its server', async (t) => {
  const { here, engine, store, make } = await twoServers(t);
  const id = await make('echo out');
  const { stream } = await attach(here, id);
  t.is(store.get(id)!.state.awaited?.length, 1);
  const gone = new Promise((resolve) => stream.once('close', resolve));
  stream.destroy();
  await gone;
  while (store.get(id)!.state.awaited?.length) await new Promise((resolve) => setImmediate(resolve));
  const dead = { ...identifySelf(), startTime: '0' };
  store.change(id, (state) => ({ ...state, awaited: [{ token: 'of a server that was killed', by: dead }] }));
  const client = (await engine.start(id, { attach: { stdin: false, stdout: true, stderr: true } }))!;
  const { code, stdout } = await readBoth(client);
  t.deepEqual([code, stdout], [0, 'out\n']);
  t.true((await heldFor(engine, id)) < STALL_TIMEOUT_MS, 'it was held up');
});

test('one that is awaited and gives up after the start lets it go on; one that never comes holds it for a while', async (t) => {
  const { engine, make } = await twoServers(t);
  for (const isReleased of [true, false]) {
    const id = await make('echo out');
    const place = (await engine.awaitStart(id))!;
    const client = (await engine.start(id, { attach: { stdin: false, stdout: true, stderr: true } }))!;
    t.true(await place.started(new AbortController().signal));
    if (isReleased) await place.release();
    t.like(await readBoth(client), { code: 0, stdout: 'out\n' });
    t.is((await heldFor(engine, id)) >= STALL_TIMEOUT_MS, !isReleased);
  }
});

test('there is no place at the start of one that runs, and a bound', async (t) => {
  const { engine, make } = await twoServers(t);
  const id = await make('sleep 1000');
  for (let place = 0; place < 128; place++) await engine.awaitStart(id);
  await t.throwsAsync(engine.awaitStart(id), {
    message: /^cannot wait for the start of container \w+: 128 clients do/,
  });
  const running = await make('sleep 1000');
  await engine.start(running);
  t.is(await engine.awaitStart(running), undefined);
  await t.throwsAsync(engine.awaitStart('nosuch'), { message: 'No such container: nosuch' });
});
