/**
 * The rows of the Docker Engine API (`make bench-service`): Docker's own client, and bare requests, against `husk
 * serve` as an ordinary user and against Docker's own engine as root, in turn; writes the table into
 * docs/performance.md between its markers. BENCH_RUNS changes the repetitions. Without Docker's engine, which needs
 * root, it measures husk alone and writes nothing.
 */
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { dockerClient } from '../../test/fixtures/docker-client.ts';
import { dockerEngine } from '../../test/fixtures/docker-engine.ts';
import { ordinaryUser } from '../../test/fixtures/user.ts';
import { serveAs } from '../../test/service/fixture.ts';
import { compare } from '../measure.ts';
import { conditions, writeSection } from '../report.ts';
import { dockerPids, engine, memoryOf, type Engine, type Memory } from './engines.ts';
import { atOnce, inSequence } from './requests.ts';

const RUNS = Number(process.env['BENCH_RUNS'] ?? 20);
/** of what takes seconds each */
const LONG_RUNS = Math.min(RUNS, 5);
const CONTAINERS = 10;
const CLIENTS = 200;
/** of one connection, one after another */
const REQUESTS = 200;
/** before the memory is looked at again */
const MEMORY_REQUESTS = 300;
/** ms; a server gives memory back 10 s and 25 s after its last request (src/service/serve.ts) */
const SETTLE_MS = 30_000;
const LINE = `${'x'.repeat(99)}\n`;
const LOG_BYTES = 50_000_000;
const LIST = '/containers/json';
const IMAGE = 'box';
const QUIET = ['--network', 'none'];
const root = join(import.meta.dirname, '../..');

interface Row {
  what: string;
  /** of the ratio of the times that the work takes; null where there is none */
  aim: number | null;
  unit: 'ms' | 'MB/s';
  values: Record<string, number>;
}
const rows: Row[] = [];

async function measure(
  engines: readonly Engine[],
  what: string,
  timed: (engine: Engine) => number | Promise<number>,
  { aim = 1, unit = 'ms', runs = RUNS }: Partial<Pick<Row, 'aim' | 'unit'>> & { runs?: number } = {},
): Promise<void> {
  const samples = await compare(Object.fromEntries(engines.map((one) => [one.name, () => timed(one)])), runs);
  const values = Object.fromEntries(Object.entries(samples).map(([name, { median }]) => [name, median]));
  rows.push({ what, aim, unit, values });
  console.log(lineOf(rows.at(-1)!));
}

function lineOf({ what, aim, unit, values }: Row): string {
  const cell = (name: string): string =>
    values[name] === undefined ? '' : `${values[name].toFixed(values[name] < 10 ? 2 : 1)} ${unit}`;
  const { husk, docker } = values as { husk: number; docker: number | undefined };
  const ratio = docker === undefined ? '' : (unit === 'ms' ? husk / docker : docker / husk).toFixed(2);
  return `| ${what} | ${aim === null ? '' : `≤ ${aim.toFixed(2)}`} | ${ratio} | ${cell('husk')} | ${cell('docker')} |`;
}

/** A container that has written the log, and one that writes it when it is told to. */
const WRITE = `yes ${LINE.trim()} | head -c ${LOG_BYTES} >/log`;
const TOLD = `${WRITE}; echo ready; until [ -e /go ]; do sleep 0.05; done; cat /log`;

async function prepare({ docker, reading }: Engine, image: string): Promise<void> {
  docker('import', image, IMAGE);
  for (let at = 0; at < CONTAINERS; at++)
    docker('run', '-d', '--name', `idle-${at}`, ...QUIET, IMAGE, 'sleep', '86399');
  docker('run', '-d', '--name', 'logged', ...QUIET, IMAGE, 'sh', '-c', `${WRITE}; cat /log`);
  await reading('wait', 'logged');
}

/** @throws Error where a byte is missing: what is not read measures nothing */
function rate(bytes: number, milliseconds: number, expected = LOG_BYTES): number {
  if (bytes !== expected) throw new Error(`docker logs gave ${bytes} bytes of ${expected}`);
  return bytes / 1000 / milliseconds;
}

async function readLog({ reading }: Engine): Promise<number> {
  const { bytes, started, ended } = await reading('logs', '-f', 'logged');
  return rate(bytes, ended - started);
}

/** From the moment at which the container is told to write to the last byte. */
async function followLog({ docker, reading }: Engine): Promise<number> {
  const ready = 'ready\n';
  docker('run', '-d', '--name', 'writer', ...QUIET, IMAGE, 'sh', '-c', TOLD);
  const followed = reading('logs', '-f', 'writer');
  docker('exec', 'writer', 'sh', '-c', 'until [ -s /log ]; do sleep 0.05; done');
  // The client follows when it has begun to write; a second is more than it takes from there.
  await sleep(2000);
  const told = reading('exec', 'writer', 'touch', '/go');
  const { started } = await told;
  const { bytes, last } = await followed;
  docker('rm', '-f', 'writer');
  return rate(bytes, last - started, LOG_BYTES + ready.length);
}

async function measureAll(engines: readonly Engine[]): Promise<void> {
  await measure(engines, "`docker --version`: the client's own start", ({ docker }) => docker('--version'), {
    aim: null,
  });
  await measure(engines, `\`docker ps\`, ${CONTAINERS} containers`, ({ docker }) => docker('ps'));
  const run = ['run', '--rm', ...QUIET, IMAGE, 'true'];
  await measure(engines, '`docker run --rm --network none IMAGE true`', ({ docker }) => docker(...run), { aim: 0.5 });
  await measure(engines, '`docker exec C true`', ({ docker }) => docker('exec', 'idle-0', 'true'));
  const logs = { unit: 'MB/s', runs: LONG_RUNS } as const;
  await measure(engines, '`docker logs -f`, 50 MB that are there', readLog, logs);
  await measure(engines, '`docker logs -f`, 50 MB while they are written', followLog, logs);
  const wall = ({ socket }: Engine) => atOnce(socket, LIST, CLIENTS);
  await measure(engines, `${CLIENTS} clients at once, \`GET ${LIST}\``, wall);
  for (const path of ['/_ping', LIST])
    await measure(engines, `\`GET ${path}\`, kept connection`, ({ socket }) => inSequence(socket, [path], REQUESTS));
}

type Memories = Record<string, Memory[]>;

async function note(engines: readonly Engine[], memories: Memories): Promise<void> {
  await sleep(SETTLE_MS);
  for (const { name, pids } of engines) (memories[name] ??= []).push(memoryOf(pids()));
}

const MOMENTS = ['after its start', `after ${MEMORY_REQUESTS} requests`, 'after all of the above'];

function memoryLines(memories: Memories): string[] {
  return MOMENTS.map((moment, at) => {
    const cell = (name: string): string => {
      const one = memories[name]?.[at];
      return one === undefined ? '' : `${one.pss.toFixed(1)} MiB (${one.alone.toFixed(1)})`;
    };
    return `| idle server ${moment}, PSS (as the only one of its program) | ≤ 45 MiB | | ${cell('husk')} | ${cell('docker')} |`;
  });
}

function table(version: string, memories: Memories): string[] {
  return [
    '| | aim | ratio, time | husk | Docker |',
    '|---|---:|---:|---:|---:|',
    ...rows.map(lineOf),
    ...memoryLines(memories),
    '',
    `Medians of ${RUNS} runs in turn, of ${LONG_RUNS} for logs (lines of ${LINE.length} bytes, \`json-file\`), after a warm-up. ${version}; ${conditions()}`,
  ];
}

function versionOf(program: string, socket: string): string {
  const env = { ...process.env, DOCKER_HOST: `unix://${socket}` };
  return execFileSync(program, ['version', '--format', '{{.Server.Version}}'], { env, encoding: 'utf8' }).trim();
}

async function main(): Promise<void> {
  const client = dockerClient();
  if (typeof client === 'string') throw new Error(client);
  const config = join(folder, 'config');
  mkdirSync(config);
  const image = join(folder, 'image.tar');
  writeFileSync(image, execFileSync(join(root, 'setup/base-tree'), { maxBuffer: 64 << 20 }));
  using user = ordinaryUser();
  const found = await dockerEngine();
  await using reference = typeof found === 'string' ? undefined : found;
  if (typeof found === 'string') console.log(`without Docker's engine: ${found}`);
  await using server = await serveAs(user);
  const engines = [engine(client, config, { name: 'husk', socket: server.socket, pids: () => [server.pid] })];
  if (reference)
    engines.push(
      engine(client, config, { name: 'docker', socket: reference.socket, pids: () => dockerPids(reference) }),
    );
  const memories: Memories = {};
  try {
    await note(engines, memories);
    for (const { socket } of engines) await inSequence(socket, ['/_ping', LIST, '/info'], MEMORY_REQUESTS);
    await note(engines, memories);
    for (const one of engines) await prepare(one, image);
    await measureAll(engines);
    await note(engines, memories);
  } finally {
    const names = [...Array.from({ length: CONTAINERS }, (_none, at) => `idle-${at}`), 'logged', 'writer'];
    user.husk('rm', '-f', ...names);
  }
  const { version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { version: string };
  const of = reference ? `, Docker ${versionOf(client.path, reference.socket)}` : '';
  const lines = table(`Client ${client.major}; husk ${version}${of}`, memories);
  console.log(lines.join('\n'));
  if (reference) writeSection('service', lines);
}

const folder = mkdtempSync(join('/var/tmp', 'husk-bench-'));
try {
  await main();
} finally {
  rmSync(folder, { recursive: true, force: true });
}
