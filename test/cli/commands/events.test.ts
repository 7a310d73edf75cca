/** `events`: Docker's line, JSON and templates; hostile attributes on a terminal. */
import test from 'ava';
import type { Engine, EventMessage, EventOptions } from '../../../src/engine/contract.ts';
import { husk, NOW } from '../fake-context.ts';

const ID = 'abc'.padEnd(64, '0');
const START: EventMessage = {
  Type: 'container',
  Action: 'start',
  Actor: { ID, Attributes: { name: 'web', image: 'alpine:3', 'a.label': 'x' } },
  time: NOW * 1000 + 123,
};
const PRUNE: EventMessage = { Type: 'image', Action: 'prune', Actor: { ID: '', Attributes: {} }, time: NOW * 1000 };

function engine(events: EventMessage[], asked: (options: EventOptions) => void = () => {}): Partial<Engine> {
  return {
    async *events(options = {}) {
      asked(options);
      yield* events;
    },
  };
}

const CASES: [name: string, args: string[], stdout: string][] = [
  [
    'a line',
    [],
    `2026-01-02T03:04:05.000123000Z container start ${ID} (a.label=x, image=alpine:3, name=web)\n2026-01-02T03:04:05.000000000Z image prune \n`,
  ],
  [
    'json',
    ['--format', 'json'],
    `{"status":"start","id":"${ID}","from":"alpine:3","Type":"container","Action":"start","Actor":{"ID":"${ID}","Attributes":{"a.label":"x","image":"alpine:3","name":"web"}},"scope":"local","time":${NOW / 1000},"timeNano":${NOW}000123000}\n{"status":"prune","Type":"image","Action":"prune","Actor":{"ID":"","Attributes":{}},"scope":"local","time":${NOW / 1000},"timeNano":${NOW}000000000}\n`.replaceAll(
      `${NOW}000`,
      `${NOW}`,
    ),
  ],
  [
    'a template',
    ['--format', '{{.Type}} {{.Status}} {{.Actor.Attributes.name}} {{.Time}}'],
    `container start web ${NOW / 1000}\nimage prune <no value> ${NOW / 1000}\n`,
  ],
];
for (const [name, args, stdout] of CASES) {
  test.serial(name, async (t) => {
    const zone = process.env['TZ'];
    process.env['TZ'] = 'UTC';
    t.deepEqual(await husk(['events', ...args], { engine: engine([START, PRUNE]) }), { code: 0, stdout, stderr: '' });
    process.env['TZ'] = zone;
  });
}

test('times and filters reach the engine', async (t) => {
  let asked: EventOptions | undefined;
  await husk(
    ['system', 'events', '--since', '10m', '--until', '2026-01-02Z', '-f', 'type=image', '-f', 'type=volume'],
    { engine: engine([], (options) => (asked = options)) },
  );
  t.like(asked, {
    since: BigInt(NOW - 600_000) * 1_000_000n,
    until: BigInt(Date.parse('2026-01-02T00:00:00Z')) * 1_000_000n,
  });
  t.deepEqual({ ...asked?.filters }, { type: ['image', 'volume'] });
});

test('a label with an escape sequence stays text on a terminal', async (t) => {
  const hostile = { ...START, Actor: { ID, Attributes: { x: '\x1b]0;owned\x07\nfake line' } } };
  const { stdout } = await husk(['events'], { engine: engine([hostile]), terminal: { columns: 80, rows: 24 } });
  t.notRegex(stdout, /[\x1b\x07]|\n./);
});
