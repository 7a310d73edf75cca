/** What a start says without failing reaches the program, by whichever way the container is started. */
import { PassThrough } from 'node:stream';
import test from 'ava';
import type { Engine } from '../../src/engine/contract.ts';
import { Container } from '../../src/library/container.ts';
import { Husk } from '../../src/library/husk.ts';

const MADE = 'a limit is not kept';
const STARTED = 'network bridge has no way out: no luck today';

/** One container, whose making and start have something to say. */
function engine(): Engine {
  const attachment = () => ({
    tty: false,
    stdin: new PassThrough(),
    stdout: new PassThrough().end(),
    stderr: new PassThrough().end(),
    exited: Promise.resolve({ exitCode: 0 }),
    detach: () => {},
  });
  const start: Engine['start'] = async (_id, { attach, onWarning } = {}) => {
    onWarning?.(STARTED);
    return attach && (attachment() as unknown as Awaited<ReturnType<Engine['start']>>);
  };
  const only = {
    create: async () => ({ id: 'c', warnings: [MADE] }),
    get: () => ({ config: { options: { interactive: false } } }),
    remove: async () => {},
    start,
  };
  return only as unknown as Engine;
}

const husk = () => new (Husk as unknown as new (engine: Engine) => Husk)(engine());
const container = () => new Container(engine(), 'c', { owned: false });
type Told = (text: string) => void;
const STARTS: [how: string, told: string[], start: (told: Told) => Promise<unknown>][] = [
  ['container.start', [STARTED], (onWarning) => container().start({ onWarning })],
  ['container.startAttached', [STARTED], (onWarning) => container().startAttached({ onWarning })],
  ['husk.start', [`WARNING: ${MADE}`, `WARNING: ${STARTED}`], (onMessage) => husk().start('box', [], { onMessage })],
  ['husk.run', [`WARNING: ${MADE}`, `WARNING: ${STARTED}`], (onMessage) => husk().run('box', [], { onMessage })],
  ['husk.create, of its making alone', [`WARNING: ${MADE}`], (onMessage) => husk().create('box', [], { onMessage })],
  ['container.start, to nobody', [], () => container().start()],
];
for (const [how, expected, start] of STARTS)
  test(`warnings: ${how}`, async (t) => {
    const told: string[] = [];
    await start((text) => told.push(text));
    t.deepEqual(told, expected);
  });

test('resize reaches the engine, and wait is a number', async (t) => {
  const asked: unknown[] = [];
  const engine = {
    resize: async (...given: unknown[]) => void asked.push(given),
    wait: async () => ({ code: 127, error: 'no such file' }),
  } as unknown as Engine;
  const made = new Container(engine, 'c', { owned: false });
  await made.resize(100, 30);
  t.deepEqual(asked, [['c', { columns: 100, rows: 30 }]]);
  t.is(await made.wait(), 127);
});

test('copies of a container are containers, which go with their objects', async (t) => {
  const removed: string[] = [];
  const asked: unknown[] = [];
  const engine = {
    fork: async (...given: unknown[]) => (asked.push(given), ['one', 'two']),
    remove: async (id: string) => void removed.push(id),
  } as unknown as Engine;
  {
    const copies = await new Container(engine, 'c', { owned: false }).fork({ count: 2, name: 'try' });
    t.deepEqual(
      copies.map(({ id }) => id),
      ['one', 'two'],
    );
    await using _first = copies[0]!;
    copies[1]!.keep();
  }
  t.deepEqual(asked, [['c', { count: 2, name: 'try' }]]);
  t.deepEqual(removed, ['one']);
});
