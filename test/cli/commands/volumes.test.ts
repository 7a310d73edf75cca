/** The volume commands over a fake volume room: what they ask for, and what they print. */
import test from 'ava';
import type { Engine, Volume } from '../../../src/engine/contract.ts';
import { HuskError } from '../../../src/errors.ts';
import { husk } from '../fake-context.ts';

const one: Volume = {
  name: 'one',
  createdAt: 0,
  anonymous: false,
  driver: 'local',
  labels: { a: 'b' },
  options: {},
  mountpoint: '/v/one/_data',
};

function engine(asked: unknown[] = []): Partial<Engine> {
  const volumes = {
    create: (request: object) => (asked.push(request), one),
    list: (filters: object) => (asked.push({ ...filters }), [one]),
    find: () => undefined,
    inspect: (name: string) => ({ Name: name }),
    remove: async (name: string) => {
      if (name === 'used') throw new HuskError('remove used: volume is in use - [c1]', { kind: 'conflict' });
    },
    prune: async (options: { all: boolean }) => (asked.push(options.all), { deleted: ['one'], reclaimed: 2_000_000 }),
  };
  return { volumes: async () => volumes } as unknown as Partial<Engine>;
}

for (const [line, stdout, stderr = '', code = 0] of [
  ['volume ls', 'DRIVER    VOLUME NAME\nlocal     one\n'],
  ['volume list -q', 'one\n'],
  ['volume ls --format {{.Mountpoint}},{{.Labels}}', '/v/one/_data,a=b\n'],
  ['volume create one', 'one\n'],
  ['volume create --name one', 'one\n'],
  [
    'volume create --name one two',
    '',
    'Error: conflicting options: cannot specify a volume-name through both --name and as a positional arg\nFix: leave out --name\n',
    1,
  ],
  ['volume inspect -f {{.Name}} x', 'x\n'],
  ['volume rm used two', 'two\n', 'Error: remove used: volume is in use - [c1]\n', 1],
  ['volume prune -f', 'Deleted Volumes:\none\n\nTotal reclaimed space: 2MB\n'],
] as [string, string, string?, number?][])
  test(line, async (t) => t.deepEqual(await husk(line.split(' '), { engine: engine() }), { code, stdout, stderr }));

test('what is asked of the room', async (t) => {
  const asked: unknown[] = [];
  await husk(['volume', 'create', '--label', 'a=b', '-o', 'type=none', '-o', 'device=/x', 'one'], {
    engine: engine(asked),
  });
  await husk(['volume', 'ls', '-f', 'dangling=true', '-f', 'label=a'], { engine: engine(asked) });
  await husk(['volume', 'prune', '-f', '-a'], { engine: engine(asked) });
  t.deepEqual(asked, [
    { name: 'one', driver: 'local', labels: { a: 'b' }, options: { type: 'none', device: '/x' } },
    { dangling: ['true'], label: ['a'] },
    true,
  ]);
});
