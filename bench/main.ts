/**
 * `make bench`: husk beside its peers on the same work in the same run; writes the table into docs/performance.md
 * between its markers. Takes a few minutes; needs the test packages. BENCH_RUNS and BENCH_FOLDER change the repetitions
 * and the disk.
 */
import { spawnSync } from 'node:child_process';
import { chmodSync, mkdtempSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { debianLayout, startRegistry } from '../test/fixtures/images.ts';
import { compare, timeCommand, type Sample } from './measure.ts';
import { docker, husk, leaveHybridCgroups, podman, pss, type Peer } from './peers.ts';
import { conditions, writeSection } from './report.ts';

const RUNS = Number(process.env['BENCH_RUNS'] ?? 20);
const PULL_RUNS = Math.min(RUNS, 5);
/** an idle process has given back what it will after this long */
const SETTLE_MS = 3000;

interface Row {
  what: string;
  unit: string;
  values: Record<string, Sample>;
}
const rows: Row[] = [];

const run = (peer: Peer, ...args: string[]) => timeCommand([...peer.command, ...args], peer.environment);

function output(peer: Peer, ...args: string[]): string {
  const result = spawnSync(peer.command[0]!, [...peer.command.slice(1), ...args], {
    env: peer.environment,
    encoding: 'utf8',
    maxBuffer: 1 << 26,
  });
  if (result.status !== 0) throw new Error(`${peer.name} ${args.join(' ')}: ${result.stderr}`);
  return result.stdout.trim();
}

function report(what: string, unit: string, values: Record<string, Sample>): void {
  rows.push({ what, unit, values });
  const own = values['husk']!.median;
  const text = Object.entries(values).map(
    ([name, { median }]) =>
      `${name} ${median.toFixed(1)} ${unit}${name === 'husk' ? '' : ` (husk/${name} ${(own / median).toFixed(2)})`}`,
  );
  console.log(`${what}: ${text.join(', ')}`);
}

/** ms from `run -d` until `logs` has the first line */
async function firstLine(peer: Peer, image: string): Promise<number> {
  const start = process.hrtime.bigint();
  const id = output(
    peer,
    'run',
    '-d',
    ...peer.runFlags,
    '--network',
    'none',
    image,
    'sh',
    '-c',
    'echo ready; exec sleep 600',
  );
  while (output(peer, 'logs', id) !== 'ready') await sleep(1);
  const milliseconds = Number(process.hrtime.bigint() - start) / 1e6;
  output(peer, 'rm', '-f', id);
  return milliseconds;
}

let folders = 0;
/**
 * The peer with an empty data folder. Removing the image instead would measure the file system: ext4 passes over inodes
 * deleted in the last minute one by one (fs/ext4/ialloc.c recently_deleted), and makes each new file of the next unpack
 * slower.
 */
function freshData(peer: Peer): Peer {
  const data = join(peer.environment['XDG_DATA_HOME'] ?? folder, `fresh-${folders++}`);
  return { ...peer, environment: { ...peer.environment, XDG_DATA_HOME: data } };
}

async function main(): Promise<void> {
  const peers = [husk(folder), podman(folder), docker()].filter((peer) => peer !== undefined);
  console.log(`peers: ${peers.map((peer) => `${peer.name} ${peer.version}`).join(', ')}; ${RUNS} runs each`);
  await using registry = await startRegistry();
  const image = await registry.push(`oci:${debianLayout()}:latest`, 'debian:latest');
  const each = (timed: (peer: Peer) => number | Promise<number>) =>
    Object.fromEntries(peers.map((peer) => [peer.name, () => timed(peer)]));
  const runTrue = (peer: Peer, ...flags: string[]) =>
    run(peer, 'run', '--rm', ...peer.runFlags, ...flags, image, '/bin/true');

  // husk unpacks on the first run, the others while pulling: the sum counts both
  report(
    'pull + unpack + first `true`',
    'ms',
    await compare(
      each((peer) => {
        const fresh = freshData(peer);
        return run(fresh, 'pull', ...fresh.pullFlags, image) + runTrue(fresh, '--network', 'none');
      }),
      PULL_RUNS,
    ),
  );
  for (const peer of peers) run(peer, 'pull', ...peer.pullFlags, image);
  report(
    '`run --rm --network none` of `/bin/true`',
    'ms',
    await compare(
      each((peer) => runTrue(peer, '--network', 'none')),
      RUNS,
    ),
  );
  report(
    '`run --rm`, default network, of `/bin/true`',
    'ms',
    await compare(
      each((peer) => runTrue(peer)),
      RUNS,
    ),
  );
  report(
    '`run -d` to the first log line',
    'ms',
    await compare(
      each((peer) => firstLine(peer, image)),
      RUNS,
    ),
  );

  const idle = new Map(
    peers.map((peer) => [
      peer,
      output(peer, 'run', '-d', ...peer.runFlags, '--network', 'none', image, 'sleep', '3600'),
    ]),
  );
  report(
    '`exec` of `/bin/true`',
    'ms',
    await compare(
      each((peer) => run(peer, 'exec', idle.get(peer)!, '/bin/true')),
      RUNS,
    ),
  );
  await sleep(SETTLE_MS);
  const memory = peers.map((peer) => {
    const pid = Number(output(peer, 'inspect', '-f', '{{.State.Pid}}', idle.get(peer)!));
    const value = pss(peer.keepers(pid)) / 1024;
    return [peer.name, { median: value, minimum: value, runs: 1 }] as const;
  });
  report('memory kept for an idle container (PSS)', 'MiB', Object.fromEntries(memory));
  for (const peer of peers) output(peer, 'rm', '-f', idle.get(peer)!);
  writeTable(peers);
}

function writeTable(peers: Peer[]): void {
  const names = peers.map((peer) => peer.name);
  const others = names.filter((name) => name !== 'husk');
  const cells = ({ unit, values }: Row) => [
    ...names.map((name) => `${values[name]!.median.toFixed(1)} ${unit}`),
    ...others.map((name) => (values['husk']!.median / values[name]!.median).toFixed(2)),
  ];
  const lines = [
    `| | ${[...names, ...others.map((name) => `husk / ${name}`)].join(' | ')} |`,
    `|---|${'---:|'.repeat(names.length + others.length)}`,
    ...rows.map((row) => `| ${row.what} | ${cells(row).join(' | ')} |`),
    '',
    `Medians of ${RUNS} runs (pull: ${PULL_RUNS}), peers in turn. ${peers.map((peer) => `${peer.name} ${peer.version}`).join(', ')}; ${conditions()}`,
  ];
  writeSection('userns', lines);
}

leaveHybridCgroups();
const folder = mkdtempSync(join(process.env['BENCH_FOLDER'] ?? '/var/tmp', 'husk-bench-'));
chmodSync(folder, 0o711);
try {
  await main();
} finally {
  for (const peer of [husk(folder), podman(folder)])
    if (peer?.name === 'podman')
      spawnSync(peer.command[0]!, [...peer.command.slice(1), 'unshare', 'rm', '-rf', join(folder, 'podman')], {
        env: peer.environment,
        stdio: 'ignore',
      });
  rmSync(folder, { recursive: true, force: true });
}
