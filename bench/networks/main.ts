/**
 * The rows of networks in `make bench`: husk beside rootless Podman, as the same ordinary user, in turn, and beside a
 * bare bridge where that is what a network cannot beat; writes the table into docs/performance.md between its markers.
 * BENCH_RUNS changes the repetitions. As root it makes the way out for that user itself (host.ts); Podman's networks
 * need Debian's netavark, aardvark-dns and slirp4netns.
 */
import { execFileSync } from 'node:child_process';
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { compare, median } from '../measure.ts';
import { husk, leaveHybridCgroups, podman, type Peer } from '../peers.ts';
import { onBareBridge, onHost, enterNamespaces, useNetavark } from './host.ts';
import * as measures from './measures.ts';
import type { Measured } from './measures.ts';
import { conditions, writeSection } from '../report.ts';

const RUNS = Number(process.env['BENCH_RUNS'] ?? 20);
/** of what takes seconds each */
const LONG_RUNS = Math.min(RUNS, 5);
/** names beside the one that is asked for */
const MANY_NAMES = 1000;
const root = join(import.meta.dirname, '../..');

interface Row {
  what: string;
  unit: string;
  /** of the ratio, or of husk's own value where there is none */
  aim: string;
  values: Record<string, number>;
  /** the ratio is husk's value to this one's */
  to?: string;
}
const rows: Row[] = [];

function report(row: Row): void {
  rows.push(row);
  const values = Object.entries(row.values).map(([name, value]) => `${name} ${value.toFixed(1)} ${row.unit}`);
  console.log(`${row.what}: ${values.join(', ')}; ${ratio(row)} (aim ${row.aim})`);
}

const ratio = ({ values, to }: Row): string =>
  to !== undefined && values[to] !== undefined ? (values['husk']! / values[to]).toFixed(2) : '';

/** Medians of what is measured of each peer in turn. */
async function inTurn(contenders: Record<string, () => number>, runs: number): Promise<Record<string, number>> {
  const samples = await compare(contenders, runs);
  return Object.fromEntries(Object.entries(samples).map(([name, { median }]) => [name, median]));
}

const named = <T>(peers: readonly Measured[], value: (peer: Measured) => T): Record<string, T> =>
  Object.fromEntries(peers.map((peer) => [peer.name, value(peer)]));

/** `KIND of PEER` for each of several kinds of run. */
const each = (peers: readonly Measured[], kinds: Record<string, (peer: Measured) => number>) =>
  Object.fromEntries(
    Object.entries(kinds).flatMap(([kind, timed]) => peers.map((peer) => [`${kind} ${peer.name}`, () => timed(peer)])),
  );

async function starts(peers: readonly Measured[]): Promise<void> {
  const none = (peer: Measured) => measures.runTrue(peer, '--network', 'none');
  const warm = named(peers, (peer) => measures.idle(peer));
  const kinds = { none, default: (peer: Measured) => measures.runTrue(peer), first: measures.runOnNewNetwork };
  const first = await inTurn(each(peers, kinds), RUNS);
  for (const peer of peers) measures.remove(peer, warm[peer.name]!);
  for (const peer of peers) measures.call(peer, 'network', 'create', 'warm');
  const held = named(peers, (peer) => measures.idle(peer, '--network', 'warm'));
  const next = await inTurn(each(peers, { none, next: (peer) => measures.runTrue(peer, '--network', 'warm') }), RUNS);
  for (const peer of peers) measures.remove(peer, held[peer.name]!);
  const row = (what: string, aim: string, of: Record<string, number>, kind: string) =>
    report({ what, aim, unit: 'ms', to: 'podman', values: named(peers, ({ name }) => of[`${kind} ${name}`]!) });
  row('`run --rm --network none` of `true`', '', first, 'none');
  row('`run --rm`, default network, warm', '≤ 0.60', first, 'default');
  row('`run --rm`, own network, first on it', '≤ 0.40', first, 'first');
  row('`run --rm`, own network, next on it', '≤ 0.60', next, 'next');
  const beyond = (of: Record<string, number>, kind: string) =>
    named(peers, ({ name }) => of[`${kind} ${name}`]! - of[`none ${name}`]!);
  report({ what: 'network start, beyond `none`', aim: '≤ 10 ms', unit: 'ms', values: beyond(first, 'first') });
  report({ what: 'endpoint, beyond `none`', aim: '≤ 3 ms', unit: 'ms', values: beyond(next, 'next') });
}

type Kind = (typeof measures.TRAFFIC_KINDS)[number][0];
const UNITS = { bandwidth: 'MB/s', connections: '/s', roundTrip: 'µs' } satisfies Record<Kind, string>;
const WORDS = { bandwidth: 'bandwidth', connections: 'connections', roundTrip: 'round trip' } satisfies Record<
  Kind,
  string
>;

async function traffic(peers: readonly Measured[]): Promise<void> {
  const results: Record<string, Record<Kind, number[]>> = {};
  const note = (what: string, one: Record<Kind, number>) => {
    const all = (results[what] ??= { bandwidth: [], connections: [], roundTrip: [] });
    for (const [kind] of measures.TRAFFIC_KINDS) all[kind].push(one[kind]);
  };
  const bare = (kind: string, amount: number) => onBareBridge(peers[0]!, peers[0]!.traffic, kind, amount);
  for (let round = 0; round < LONG_RUNS; round++) {
    for (const peer of peers) {
      note(`neighbours ${peer.name}`, await measures.neighbours(peer, 'warm'));
      note(`published ${peer.name}`, await measures.published(peer, 'warm'));
    }
    for (const [kind, what, amount] of measures.TRAFFIC_KINDS)
      (results['bare'] ??= empty())[kind].push(bare(what, amount));
  }
  const of = (what: string, kind: Kind, peer: Peer) => median(results[`${what} ${peer.name}`]![kind]);
  for (const [kind] of measures.TRAFFIC_KINDS) {
    const aim = { bandwidth: '≥ 0.95', connections: '', roundTrip: '' }[kind];
    const values = {
      ...named(peers, (peer) => of('neighbours', kind, peer)),
      'bare bridge': median(results['bare']![kind]),
    };
    report({ what: `neighbours: ${WORDS[kind]}`, unit: UNITS[kind], aim, to: 'bare bridge', values });
  }
  for (const [kind] of measures.TRAFFIC_KINDS) {
    const aim = { bandwidth: '≥ 1.0', connections: '≥ 2', roundTrip: '≤ 1.0' }[kind];
    const values = named(peers, (peer) => of('published', kind, peer));
    report({ what: `published port: ${WORDS[kind]}`, unit: UNITS[kind], aim, to: 'podman', values });
  }
}

const empty = (): Record<Kind, number[]> => ({ bandwidth: [], connections: [], roundTrip: [] });

async function names(peers: readonly Measured[]): Promise<void> {
  for (const [what, count, aim] of [
    ['a name, p50', 0, '≤ 0.8'],
    [`a name of ${MANY_NAMES}, p50`, MANY_NAMES, '≤ 1.0'],
  ] as const) {
    const values = await inTurn(
      named(peers, (peer) => () => measures.lookUp(peer, 'warm', count)),
      LONG_RUNS,
    );
    report({ what, aim, unit: 'µs', to: 'podman', values });
  }
}

async function memory(peers: readonly Measured[]): Promise<string> {
  const values: Record<string, number> = {};
  const parts: string[] = [];
  for (const peer of peers) {
    const found = await measures.memory(peer, 'warm');
    values[peer.name] = found.all;
    parts.push(`${peer.name} ${found.parts}`);
  }
  report({ what: 'memory of 10 with ports (PSS)', aim: '≤ pasta + 4 MiB', unit: 'MiB', values });
  return parts.join('; ');
}

function write(peers: readonly Measured[], lines: readonly string[]): void {
  const columns = [...peers.map(({ name }) => name), 'bare bridge'];
  const cell = ({ values, unit }: Row, name: string) =>
    values[name] === undefined ? '' : `${values[name].toFixed(unit === 'MB/s' || unit === '/s' ? 0 : 1)} ${unit}`;
  const table = [
    `| | aim | ratio | ${columns.join(' | ')} |`,
    `|---|---:|---:|${'---:|'.repeat(columns.length)}`,
    ...rows.map(
      (row) => `| ${row.what} | ${row.aim} | ${ratio(row)} | ${columns.map((name) => cell(row, name)).join(' | ')} |`,
    ),
    '',
    ...lines,
    `${peers.map(({ name, version }) => `${name} ${version}`).join(', ')}; ${conditions()}`,
  ];
  writeSection('networks', table);
}

async function main(): Promise<void> {
  const program = join(folder, 'traffic');
  execFileSync('cc', ['-O2', '-static', '-o', program, join(import.meta.dirname, 'traffic.c')]);
  const image = join(folder, 'image.tar');
  writeFileSync(image, execFileSync(join(root, 'setup/base-tree'), { maxBuffer: 64 << 20 }));
  const found = [husk(folder)];
  const other = podman(folder);
  const missing = other ? useNetavark(other) : 'podman is missing, or does not run here';
  if (other && missing === undefined) found.push(other);
  else console.log(`without Podman: ${missing}`);
  const peers = found.map((peer): Measured => ({ ...peer, traffic: program }));
  try {
    for (const peer of peers) measures.call(peer, 'import', image, measures.IMAGE);
    await starts(peers);
    await traffic(peers);
    await names(peers);
    const parts = await memory(peers);
    write(peers, [
      `Medians of ${RUNS} runs in turn, of ${LONG_RUNS} from the neighbours on; ratios are husk's to Podman's, those of neighbours to the bare bridge's. Memory: ${parts}.`,
    ]);
  } finally {
    for (const peer of peers) attempt(() => measures.removeAll(peer));
    // where root runs this the folder is deleted without Podman's help
    const layers = join(folder, 'podman/data/containers/storage/overlay-layers');
    if (other) attempt(() => onHost(other, 'podman', 'unshare', 'rm', '-rf', layers));
  }
}

/** What goes wrong here must not hide what went wrong before. */
function attempt(what: () => void): void {
  try {
    what();
  } catch (error) {
    console.error(String(error));
  }
}

leaveHybridCgroups();
enterNamespaces();
const folder = mkdtempSync(join(process.env['BENCH_FOLDER'] ?? '/var/tmp', 'husk-bench-'));
chmodSync(folder, 0o711);
try {
  await main();
} finally {
  rmSync(folder, { recursive: true, force: true });
}
