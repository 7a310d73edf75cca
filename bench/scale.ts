/**
 * `make bench-scale`: what grows with the number of containers. Commands on a data root with 10 stopped containers and
 * on one with 1,000, in turn, in CPU time (which a busy machine blurs less than wall time); then SCALE_ALIVE (100)
 * containers alive at once. Prints tables for docs/performance.md; as an ordinary user, needs the test packages.
 */
import { spawnSync } from 'node:child_process';
import { chmodSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { cpus, loadavg, release } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { busyboxTar } from '../test/fixtures/images.ts';
import { median } from './measure.ts';
import { husk, pss, type Peer } from './peers.ts';

const RUNS = Number(process.env['BENCH_RUNS'] ?? 10);
const ALIVE = Number(process.env['SCALE_ALIVE'] ?? 100);
const [FEW, MANY] = [10, 1000];

function output(peer: Peer, ...args: string[]): string {
  const result = spawnSync(peer.command[0]!, [...peer.command.slice(1), ...args], {
    env: peer.environment,
    encoding: 'utf8',
    maxBuffer: 1 << 26,
  });
  if (result.status !== 0) throw new Error(`husk ${args.join(' ')}: ${result.stderr}`);
  return result.stdout.trim();
}

/** user and system time of a command and its children; ms */
function cpuTime(peer: Peer, command: string[]): number {
  const { stderr, status } = spawnSync(
    'bash',
    ['-c', 'TIMEFORMAT="cpu %U %S"; time "$@" >/dev/null', 'bash', ...command],
    { env: peer.environment, encoding: 'utf8' },
  );
  const [, user, system] = /cpu (\S+) (\S+)\s*$/.exec(stderr) ?? [];
  if (status !== 0 || user === undefined) throw new Error(`${command.join(' ')}: ${stderr}`);
  return (Number(user) + Number(system)) * 1000;
}

/** A data root with so many stopped containers, each with a volume and an image of its own that nothing else uses. */
function dataRoot(folder: string, count: number): Peer {
  const peer = husk(join(folder, String(count)));
  const { status, stderr } = spawnSync(
    'sh',
    ['-c', `exec "$@" <${busyboxTar()}`, 'sh', ...peer.command, 'import', '--change', 'CMD ["true"]', '-', 'box'],
    { env: peer.environment, encoding: 'utf8' },
  );
  if (status !== 0) throw new Error(stderr);
  output(peer, 'create', '--name', 'model', '-v', 'model:/data', 'box');
  // the rows that so many `create`s would have made
  const database = new DatabaseSync(join(peer.environment['XDG_DATA_HOME']!, 'husk/husk.db'));
  database.exec(`
    BEGIN;
    WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ${count})
    INSERT INTO containers (id, name, image_id, created_at, config, state) SELECT printf('%064x', i), 'c' || i, image_id, created_at + i, replace(config, 'model', 'v' || i), replace(state, '"created"', '"exited"') FROM containers, n WHERE name = 'model';
    WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ${count})
    INSERT INTO volumes (name, created_at, anonymous, record) SELECT 'v' || i, created_at, anonymous, record FROM volumes, n WHERE name = 'model';
    WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ${count})
    INSERT INTO images (id, manifest_digest, config, created_at, size) SELECT 'sha256:' || printf('%064x', i), manifest_digest, config, created_at, size FROM images, n;
    COMMIT`);
  database.close();
  return peer;
}

/** none of these is about the other containers, but for the last two */
const COMMANDS: [what: string, args: string[]][] = [
  ['`ps`', ['ps']],
  ['`inspect` of one', ['inspect', 'model']],
  ['`rename` there and back', ['rename', 'model', 'other']],
  ['`create` and `rm`', ['create', '--name', 'new', '-v', 'model:/data', 'box']],
  ['`volume inspect`', ['volume', 'inspect', 'model']],
  ['`image inspect`', ['image', 'inspect', 'box']],
  ['`events` of a moment', ['events', '--until', '0s', '-f', 'type=network']],
  ['`ps -a` (lists all)', ['ps', '-a']],
  ['`volume ls -f dangling=true` (asks all)', ['volume', 'ls', '-f', 'dangling=true']],
];
/** what puts the data root back as it was */
const UNDO: Record<string, string[]> = { rename: ['rename', 'other', 'model'], create: ['rm', 'new'] };

function ratios(folder: string): string[] {
  const peers = [FEW, MANY].map((count) => dataRoot(folder, count));
  const node = [process.execPath, '-e', '0'];
  const lines = [`| CPU ms | ${FEW} containers | ${MANY} containers | ratio |`, '|---|---:|---:|---:|'];
  const row = (what: string, measure: (peer: Peer) => number): void => {
    const times = peers.map(() => [] as number[]);
    for (let run = 0; run <= RUNS; run++)
      for (const [index, peer] of peers.entries()) (run === 0 ? [] : times[index]!).push(measure(peer));
    const [few, many] = times.map((values) => median(values)) as [number, number];
    lines.push(`| ${what} | ${few.toFixed(0)} | ${many.toFixed(0)} | ${(many / few).toFixed(2)} |`);
  };
  row('`node -e 0`', (peer) => cpuTime(peer, node));
  for (const [what, args] of COMMANDS)
    row(what, (peer) => {
      const time = cpuTime(peer, [...peer.command, ...args]);
      return time + (UNDO[args[0]!] ? cpuTime(peer, [...peer.command, ...UNDO[args[0]!]!]) : 0);
    });
  return lines;
}

/** pids of this user's processes that husk started */
function ofHusk(): number[] {
  return readdirSync('/proc').flatMap((name) => {
    if (!/^\d+$/.test(name)) return [];
    try {
      return /^(?:husk-supervisor|\S*husk-init|sleep\0(?:86399))/.test(readFileSync(`/proc/${name}/cmdline`, 'latin1'))
        ? [Number(name)]
        : [];
    } catch {
      return [];
    }
  });
}

function alive(folder: string): string[] {
  const peer = dataRoot(folder, 0);
  const timed = (...args: string[]): number => {
    const start = performance.now();
    output(peer, ...args);
    return performance.now() - start;
  };
  const before = new Set(ofHusk());
  const names = Array.from({ length: ALIVE }, (_, index) => `alive${index}`);
  using _end = {
    [Symbol.dispose]: () =>
      void spawnSync(peer.command[0]!, [...peer.command.slice(1), 'rm', '-f', ...names], { env: peer.environment }),
  };
  const starts = names.map((name) =>
    timed('run', '-d', ...peer.runFlags, '--network', 'none', '--name', name, 'box', 'sleep', '86399'),
  );
  const seconds = (ms: number): string => `${(ms / 1000).toFixed(2)} s`;
  const tenth = Math.max(1, Math.floor(ALIVE / 10));
  const lines = [
    `| ${ALIVE} containers alive | |`,
    '|---|---:|',
    `| \`run -d\`, median of the first ${tenth} | ${seconds(median(starts.slice(0, tenth)))} |`,
    `| \`run -d\`, median of the last ${tenth} | ${seconds(median(starts.slice(-tenth)))} |`,
    `| \`ps\` | ${seconds(median([1, 2, 3].map(() => timed('ps'))))} |`,
    `| \`stats --no-stream\` of all (1 s of it is the wait between two samples) | ${seconds(timed('stats', '--no-stream'))} |`,
    `| memory of all that husk keeps running (PSS) | ${(pss(ofHusk().filter((pid) => !before.has(pid))) / 1024).toFixed(0)} MiB |`,
    `| \`rm -f\` of all | ${seconds(timed('rm', '-f', ...names))} |`,
  ];
  const left = ofHusk().filter((pid) => !before.has(pid));
  if (left.length > 0) throw new Error(`processes left: ${left.join(' ')}`);
  return lines;
}

const folder = mkdtempSync(join('/var/tmp', 'husk-scale-'));
chmodSync(folder, 0o755);
try {
  const lines = [...(RUNS > 0 ? ratios(folder) : []), '', ...(ALIVE > 0 ? alive(folder) : [])];
  console.log(
    `${lines.join('\n')}\n\n${cpus().length} cores (${cpus()[0]!.model.trim()}), Linux ${release()}, load ${loadavg()[0]!.toFixed(1)} at the end, ${RUNS} runs, ${new Date().toISOString().slice(0, 10)}.`,
  );
} finally {
  spawnSync('unshare', ['--map-auto', '--map-root-user', 'rm', '-rf', folder]);
  rmSync(folder, { recursive: true, force: true });
}
