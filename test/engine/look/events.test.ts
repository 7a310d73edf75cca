/** What each change leaves in the table of events, beside Docker's: order, attributes, and nothing of what failed. */
import test from 'ava';
import type { EventMessage } from '../../../src/engine/contract.ts';
import { eventJson } from '../../../src/engine/look/event-json.ts';
import { openDatabase } from '../../../src/state/database.ts';
import { eventsAfter } from '../../../src/state/events.ts';
import { judgeAs } from '../../service/schema.ts';
import { createOptions, openTestEngine, type TestEngine } from '../fixture.ts';

const MOUNT = {
  type: 'volume' as const,
  source: 'data',
  target: '/x',
  readonly: true,
  options: [],
  createSource: true,
};

function told({ paths }: TestEngine): EventMessage[] {
  using database = openDatabase(paths.database) as ReturnType<typeof openDatabase> & Disposable;
  return eventsAfter(database, 0, 1000).events;
}

const words = (events: readonly EventMessage[]) => events.map(({ Type, Action }) => `${Type} ${Action}`);
const attributes = (events: readonly EventMessage[], action: string) =>
  events.find(({ Type, Action }) => `${Type} ${Action}` === action)?.Actor.Attributes;

test('a life with a volume, in the order that Docker has (podman#12628, #16857)', async (t) => {
  const fixture = await openTestEngine(t);
  const { id } = await fixture.run(['sh', '-c', 'exit 3'], { name: 'box', labels: { a: 'b' }, mounts: [MOUNT] });
  await fixture.engine.remove(id);
  const events = told(fixture);
  t.deepEqual(words(events), [
    'volume create',
    'container create',
    'container attach',
    'volume mount',
    'container start',
    'volume unmount',
    'container die',
    'container destroy',
  ]);
  t.deepEqual(attributes(events, 'volume create'), { driver: 'local' });
  t.deepEqual(attributes(events, 'volume mount'), {
    container: id,
    destination: '/x',
    driver: 'local',
    propagation: '',
    'read/write': 'false',
  });
  t.deepEqual(attributes(events, 'volume unmount'), { container: id, driver: 'local' });
  const { execDuration, ...died } = attributes(events, 'container die')!;
  t.regex(execDuration!, /^\d+$/);
  t.deepEqual(died, { exitCode: '3', image: 'test', name: 'box', from: 'image', a: 'b' });
});

test('a supervisor that was killed: who looks next tells of the death, and of what it gave back', async (t) => {
  const fixture = await openTestEngine(t);
  const { engine } = fixture;
  const { id } = await engine.create(createOptions({ command: ['sleep', '1000'], mounts: [MOUNT] }));
  await engine.start(id);
  const { pid } = engine.get(id).state.supervisor!;
  process.kill(pid, 'SIGKILL');
  while (engine.get(id).state.status === 'running');
  const events = told(fixture);
  t.deepEqual(words(events).slice(-3), ['container start', 'volume unmount', 'container die']);
  t.is(attributes(events, 'container die')!['exitCode'], '137');
});

test('networks: made, joined while it runs and not before, left, removed', async (t) => {
  const fixture = await openTestEngine(t);
  const { engine } = fixture;
  const networks = await engine.networks();
  const network = networks.create({ name: 'mine' });
  const { id } = await engine.create(createOptions({ command: ['sleep', '1000'], network: 'bridge' }));
  await engine.connect('mine', id);
  // Docker tells of a connection when it is made, which is at the start
  t.false(words(told(fixture)).includes('network connect'));
  await engine.disconnect('mine', id);
  await engine.start(id);
  await engine.connect('mine', id);
  await engine.disconnect('mine', id);
  networks.remove('mine');
  const events = told(fixture).filter(({ Actor }) => Actor.Attributes['name'] === 'mine');
  const bare = { name: 'mine', type: 'bridge' };
  t.deepEqual(
    events.map(({ Action, Actor }) => [Action, Actor]),
    (
      [
        ['create', bare],
        ['disconnect', { ...bare, container: id }],
        ['connect', { ...bare, container: id }],
        ['disconnect', { ...bare, container: id }],
        ['destroy', bare],
      ] as const
    ).map(([action, Attributes]) => [action, { ID: network.id, Attributes }]),
  );
});

test('what failed is not told', async (t) => {
  const fixture = await openTestEngine(t);
  const { engine } = fixture;
  await engine.create(createOptions({ name: 'one' }));
  await engine.create(createOptions({ name: 'two' }));
  await t.throwsAsync(engine.create(createOptions({ name: 'one' })), { message: /is already in use/ });
  t.throws(() => engine.rename('two', 'one'), { message: /is already in use/ });
  t.deepEqual(words(told(fixture)), ['container create', 'container create']);
});

const MESSAGES: [what: string, event: EventMessage, json: object][] = [
  [
    'a container is told twice, with its image',
    {
      Type: 'container',
      Action: 'die',
      Actor: { ID: 'c', Attributes: { image: 'bb', exitCode: '0' } },
      time: 1_767_323_045_000_123,
    },
    {
      status: 'die',
      id: 'c',
      from: 'bb',
      Type: 'container',
      Action: 'die',
      Actor: { ID: 'c', Attributes: { image: 'bb', exitCode: '0' } },
      scope: 'local',
      time: 1_767_323_045,
      timeNano: 1_767_323_045_000_123_000,
    },
  ],
  [
    'a volume once',
    { Type: 'volume', Action: 'create', Actor: { ID: 'v', Attributes: { driver: 'local' } }, time: 1_000_000 },
    {
      Type: 'volume',
      Action: 'create',
      Actor: { ID: 'v', Attributes: { driver: 'local' } },
      scope: 'local',
      time: 1,
      timeNano: 1_000_000_000,
    },
  ],
];
for (const [what, event, json] of MESSAGES)
  test(`as JSON, ${what}`, (t) => {
    t.deepEqual(eventJson(event), json);
    t.notThrows(() => judgeAs('EventMessage', eventJson(event)));
  });

test('as JSON, nanoseconds are written to the last digit', (t) => {
  const { time, ...rest } = MESSAGES[0]![1];
  for (let more = 0; more < 5000; more++)
    t.true(JSON.stringify(eventJson({ ...rest, time: time + more })).includes(`"timeNano":${time + more}000`));
});
