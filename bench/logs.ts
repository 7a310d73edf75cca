/**
 * `node bench/logs.ts`: how fast a container's output goes into its log, and what that costs the process beside it;
 * husk's drivers, and Podman's (conmon) in the same run. A container copies a file of numbered lines of 100 bytes to
 * stdout and stderr at once. Writes its table into docs/performance.md. BENCH_RUNS changes the repetitions,
 * BENCH_MEGABYTES the output of one stream.
 */
import { spawnSync } from 'node:child_process';
import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { busyboxTar } from '../test/fixtures/images.ts';
import { median } from './measure.ts';
import { husk, leaveHybridCgroups, podman, type Peer } from './peers.ts';
import { conditions, writeSection } from './report.ts';

const RUNS = Number(process.env['BENCH_RUNS'] ?? 5);
const MEGABYTES = Number(process.env['BENCH_MEGABYTES'] ?? 100);
const LINE = 100;
/** per second: USER_HZ, proc_pid_stat(5) */
const TICKS = 100;
leaveHybridCgroups();
const folder = mkdtempSync(join(process.env['BENCH_FOLDER'] ?? '/var/tmp', 'husk-bench-logs-'));
chmodSync(folder, 0o711);

function output(peer: Peer, ...args: string[]): string {
  const result = spawnSync(peer.command[0]!, [...peer.command.slice(1), ...args], {
    env: peer.environment,
    encoding: 'utf8',
    maxBuffer: 1 << 26,
  });
  if (result.status !== 0) throw new Error(`${peer.name} ${args.join(' ')}: ${result.stderr}`);
  return result.stdout.trim();
}

/** seconds of CPU that a process has used. @throws once it is gone */
function cpuOf(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8')
    .replace(/^.*\) /s, '')
    .split(' ');
  // utime and stime, counted from the state
  return (Number(fields[11]) + Number(fields[12])) / TICKS;
}

interface Sample {
  rate: number;
  cpu: number;
}

async function measure(peer: Peer, flags: string[]): Promise<Sample> {
  // the clock starts when all is ready
  const gate = join(folder, 'gate');
  rmSync(gate, { force: true });
  const id = output(
    peer,
    'run',
    '-d',
    ...peer.runFlags,
    '--network',
    'none',
    ...flags,
    '-v',
    `${folder}:/d:ro`,
    'base',
    'sh',
    '-c',
    'while [ ! -e /d/gate ]; do sleep 0.01; done; cat /d/lines & cat /d/lines >&2; wait',
  );
  const keepers = peer.keepers(Number(output(peer, 'inspect', '-f', '{{.State.Pid}}', id)));
  const all = () => keepers.reduce((sum, pid) => sum + cpuOf(pid), 0);
  const before = all();
  const start = process.hrtime.bigint();
  writeFileSync(gate, '');
  let cpu = 0;
  for (;;) {
    try {
      cpu = all();
    } catch {
      break;
    }
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  const seconds = Number(process.hrtime.bigint() - start) / 1e9;
  output(peer, 'rm', '-f', id);
  return { rate: (2 * MEGABYTES) / seconds, cpu: ((cpu - before) / (2 * MEGABYTES)) * 1000 };
}

const contenders: [name: string, peer: Peer | undefined, flags: string[]][] = [
  ['husk, `json-file`', husk(folder), ['--log-driver=json-file']],
  [
    'husk, `json-file`, rotated at 10m, 3 files',
    husk(folder),
    ['--log-driver=json-file', '--log-opt=max-size=10m', '--log-opt=max-file=3'],
  ],
  ['husk, `local`', husk(folder), ['--log-driver=local']],
  ['husk, `none`', husk(folder), ['--log-driver=none']],
  ['podman, `k8s-file`', podman(folder), ['--log-driver=k8s-file']],
  ['podman, `none`', podman(folder), ['--log-driver=none']],
];

try {
  writeFileSync(
    join(folder, 'lines'),
    Array.from({ length: (MEGABYTES * 1e6) / LINE }, (_, index) => `${`line ${index} `.padEnd(LINE - 1, 'x')}\n`).join(
      '',
    ),
  );
  const here = contenders.filter((contender): contender is [string, Peer, string[]] => contender[1] !== undefined);
  for (const peer of new Map(here.map(([, peer]) => [peer.name, peer])).values())
    output(peer, 'import', busyboxTar(), 'base');
  const samples = new Map<string, Sample[]>(here.map(([name]) => [name, []]));
  for (let run = 0; run < RUNS; run++)
    for (const [name, peer, flags] of here) samples.get(name)!.push(await measure(peer, flags));
  const rows = [...samples].map(
    ([name, found]) =>
      `| ${name} | ${median(found.map(({ rate }) => rate)).toFixed(0)} | ${Math.max(...found.map(({ rate }) => rate)).toFixed(0)} | ${median(found.map(({ cpu }) => cpu)).toFixed(1)} |`,
  );
  const lines = [
    '| | MB/s | best | ms of CPU a MB |',
    '|---|---:|---:|---:|',
    ...rows,
    '',
    `${2 * MEGABYTES} MB in lines of ${LINE} bytes, half to stdout, half to stderr; medians of ${RUNS} runs in turn; CPU is that of the process beside the container. ${conditions()}`,
  ];
  console.log(lines.join('\n'));
  writeSection('logs', lines);
} finally {
  const peer = podman(folder);
  if (peer)
    spawnSync(peer.command[0]!, [...peer.command.slice(1), 'unshare', 'rm', '-rf', join(folder, 'podman')], {
      env: peer.environment,
      stdio: 'ignore',
    });
  rmSync(folder, { recursive: true, force: true });
}
