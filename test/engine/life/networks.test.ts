/**
 * connect and disconnect of a container that runs: the kernel's side is asked first, and only what it did is written.
 */
import test, { type ExecutionContext } from 'ava';
import type { EngineContext } from '../../../src/engine/record/context.ts';
import { connect, disconnect } from '../../../src/engine/life/networks.ts';
import { NetworkRecords } from '../../../src/network/records/records.ts';
import { openNetworks } from '../../../src/network/records/networks.ts';
import { ContainerStore } from '../../../src/state/containers.ts';
import { openDatabase } from '../../../src/state/database.ts';
import { eventsAfter, lastEvent } from '../../../src/state/events.ts';
import { createOptions, openTestEngine } from '../fixture.ts';

async function setUp(t: ExecutionContext, liveNetworks: EngineContext['liveNetworks']) {
  const { engine, paths } = await openTestEngine(t);
  const { id } = await engine.create(createOptions({ name: 'cc', command: ['sleep', '1000'], network: 'bridge' }));
  await engine.start(id);
  const database = openDatabase(paths.database);
  t.teardown(() => database.close());
  const networks = openNetworks({ database, config: {}, running: () => [], routes: () => [] });
  const one = networks.create({ name: 'one' });
  const store = new ContainerStore(database);
  const context = { database, store, paths, liveNetworks, networks: async () => networks } as unknown as EngineContext;
  const records = new NetworkRecords(database);
  return { context, database, id, one, networks, on: () => records.wantedBy(id).map(({ network }) => network) };
}

const NAMED = { network: 'one', container: 'cc' };

test('attached and detached, with an event each', async (t) => {
  const asked: unknown[] = [];
  const live = {
    attach: async (...args: unknown[]) => void asked.push(['attach', args[2]]),
    detach: async () => void asked.push(['detach']),
  };
  const { context, database, id, one, on } = await setUp(t, live);
  const last = lastEvent(database);
  await connect(context, NAMED, { aliases: ['web'] });
  t.deepEqual(on(), ['bridge', 'one']);
  await t.throwsAsync(connect(context, NAMED), { message: 'endpoint with name cc already exists in network one' });
  await disconnect(context, NAMED);
  t.deepEqual(on(), ['bridge']);
  t.deepEqual(asked, [['attach', { aliases: ['web'] }], ['detach']]);
  const Actor = { ID: one.id, Attributes: { container: id, name: 'one', type: 'bridge' } };
  t.deepEqual(
    eventsAfter(database, last, 10)
      .events.filter(({ Type }) => Type === 'network')
      .map((event) => [event.Action, event.Actor]),
    [
      ['connect', Actor],
      ['disconnect', Actor],
    ],
  );
});

test('what the kernel refuses is not written', async (t) => {
  const refusing = async () => {
    throw new Error('no veth');
  };
  const { context, on } = await setUp(t, { attach: refusing, detach: refusing });
  await t.throwsAsync(connect(context, NAMED), { message: 'no veth' });
  t.deepEqual(on(), ['bridge']);
  await t.throwsAsync(disconnect(context, { network: 'bridge', container: 'cc' }), { message: 'no veth' });
  t.deepEqual(on(), ['bridge']);
});

test('off a network that has gone: of one that runs by force alone', async (t) => {
  const live = { attach: async () => {}, detach: async () => {} };
  const { context, networks, on } = await setUp(t, live);
  await connect(context, NAMED);
  networks.remove('one');
  await t.throwsAsync(disconnect(context, NAMED), { message: 'network one not found' });
  await disconnect(context, NAMED, { force: true });
  t.deepEqual(on(), ['bridge']);
});
