/** `stats`: which containers, in which form, and how a terminal is drawn on. */
import test from 'ava';
import type { Engine } from '../../../src/engine/contract.ts';
import { HuskError } from '../../../src/errors.ts';
import { container, husk } from '../fake-context.ts';

const running = (name: string, id: string) =>
  container({ name, id: id.padEnd(64, '0'), state: { status: 'running', startedAt: '2026-01-01T00:00:00Z' } });
const STATS = {
  cpuNanoseconds: 0,
  memoryBytes: 1024 * 1024,
  memoryLimitBytes: 2 ** 30,
  pids: 2,
  pidsLimit: undefined,
  networkReceivedBytes: 1,
  networkSentBytes: 2,
  blockReadBytes: 0,
  blockWrittenBytes: 0,
  hostCpu: { nanoseconds: 1, online: 2 },
};

function engine(
  all: ReturnType<typeof container>[],
  stats: (id: string) => Promise<typeof STATS> = async () => STATS,
): Partial<Engine> {
  return {
    list: (options = {}) => all.filter(({ state }) => options.all || state.status === 'running'),
    get(name) {
      const found = all.find((each) => each.name === name);
      if (!found) throw new HuskError(`No such container: ${name}`, { kind: 'not-found' });
      return found;
    },
    stats,
  };
}

test('--no-stream: a table of those that run', async (t) => {
  const { code, stdout } = await husk(['stats', '--no-stream'], {
    engine: engine([running('a', 'aa'), running('b', 'bb'), container()]),
  });
  t.is(code, 0);
  t.is(
    stdout,
    'CONTAINER ID   NAME      CPU %     MEM USAGE / LIMIT   MEM %     NET I/O   BLOCK I/O   PIDS\n' +
      'aa0000000000   a         0.00%     1MiB / 1GiB         0.10%     1B / 2B   0B / 0B     2\nbb0000000000   b         0.00%     1MiB / 1GiB         0.10%     1B / 2B   0B / 0B     2\n',
  );
});

test('-a has the stopped ones too; --format; names as typed', async (t) => {
  const parts = engine([running('a', 'aa'), container({ name: 'off' })]);
  t.is(
    (await husk(['stats', '-a', '--no-stream', '--format', '{{.Name}} {{.PIDs}}'], { engine: parts })).stdout,
    'a 2\noff 0\n',
  );
  t.is(
    (await husk(['container', 'stats', '--no-stream', '--format', '{{.Container}}', 'off', 'a'], { engine: parts }))
      .stdout,
    'off\na\n',
  );
  t.deepEqual(JSON.parse((await husk(['stats', '--no-stream', '--format', 'json', 'a'], { engine: parts })).stdout), {
    BlockIO: '0B / 0B',
    CPUPerc: '0.00%',
    Container: 'a',
    ID: 'aa0000000000',
    MemPerc: '0.10%',
    MemUsage: '1MiB / 1GiB',
    Name: 'a',
    NetIO: '1B / 2B',
    PIDs: '2',
  });
});

test('a container that is not there, before anything is drawn', async (t) => {
  t.deepEqual(
    await husk(['stats', 'a', 'nobody'], { engine: engine([running('a', 'aa')]), terminal: { columns: 80, rows: 24 } }),
    { code: 1, stdout: '', stderr: 'Error: No such container: nobody\n' },
  );
});

test('a terminal: drawn over itself, cut to its size; it ends when all that were named are gone', async (t) => {
  const all = [running('a', 'aa'), running('b', 'bb')];
  let rounds = 0;
  const parts = engine(all, async () => {
    rounds++;
    // one ends after the first round, the other is removed with it
    if (rounds === 2) all.length = 0;
    return STATS;
  });
  const { code, stdout } = await husk(['stats', 'a', 'b'], { engine: parts, terminal: { columns: 30, rows: 3 } });
  t.is(code, 0);
  t.is(stdout, '\x1b[2J\x1b[HCONTAINER ID   NAME      CPU …\x1b[K\naa0000000000   a         --  …\x1b[K\n\x1b[J');
});

test('a guest that does not answer holds nobody up', async (t) => {
  const { stdout } = await husk(['stats', '--no-stream', '--format', '{{.Name}} {{.MemUsage}}'], {
    engine: engine([running('a', 'aa'), running('b', 'bb')], (id) =>
      id.startsWith('aa') ? new Promise(() => {}) : Promise.resolve(STATS),
    ),
  });
  t.is(stdout, 'a -- / --\nb 1MiB / 1GiB\n');
});
