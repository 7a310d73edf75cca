/**
 * `unenforceable-limits` of the config, from a request or a command line to a container that runs: what this host
 * cannot enforce is refused, or left out with Docker's text. Which of its limits a host enforces is its own matter:
 * what is refused under the one word must be left out under the other, and nothing else.
 */
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'ava';
import { busyboxTar, missingImageTools } from '../fixtures/images.ts';
import { HUSK, ordinaryUser, ROOT, type TestUser } from '../fixtures/user.ts';
import { serveAs } from './fixture.ts';
import { judged } from './judged.ts';

const missing = existsSync(join(ROOT, 'dist/husk-main.cjs')) ? missingImageTools() : 'husk is not built: make build';
const real = missing === undefined ? test : test.skip;

/** a field of the API, its flag, a value of each, and what Docker says where it is left out */
const LIMITS: [field: string, value: number | string, flag: string, text: string][] = [
  [
    'Memory',
    64 << 20,
    '--memory=64m',
    'Your kernel does not support memory limit capabilities or the cgroup is not mounted. Limitation discarded.',
  ],
  [
    'NanoCpus',
    1_000_000_000,
    '--cpus=1',
    'Your kernel does not support CPU CFS scheduler or the cgroup is not mounted. NanoCPUs discarded.',
  ],
  [
    'PidsLimit',
    100,
    '--pids-limit=100',
    'Your kernel does not support PIDs limit capabilities or the cgroup is not mounted. PIDs limit discarded.',
  ],
  [
    'CpusetCpus',
    '0',
    '--cpuset-cpus=0',
    'Your kernel does not support cpuset or the cgroup is not mounted. Cpuset discarded.',
  ],
];

function configure(user: TestUser, word: 'refuse' | 'warn' | undefined): void {
  const config = { 'default-isolation': 'userns', ...(word && { 'unenforceable-limits': word }) };
  writeFileSync(join(user.home, 'config/husk/config.json'), JSON.stringify(config));
}

interface Made {
  status: number;
  /** warnings, or the error */
  said: string[];
  id: string;
}

/** Makes a container by the API for each of these. */
async function create(user: TestUser, hostConfigs: readonly object[]): Promise<Made[]> {
  await using server = await serveAs(user);
  const made: Made[] = [];
  for (const asked of hostConfigs) {
    const body = { Image: 'box', Cmd: ['true'], HostConfig: { NetworkMode: 'none', ...asked } };
    const { status, json } = await judged(server, 'POST', '/containers/create', { body });
    const { Id = '', Warnings, message } = json as { Id?: string; Warnings?: string[]; message?: string };
    made.push({ status, id: Id, said: Warnings ?? [message!] });
  }
  return made;
}

real('a limit is refused, or left out with a warning, by the API and by the command line', async (t) => {
  using user = ordinaryUser();
  user.run([HUSK, 'import', '-', 'box'], { input: readFileSync(busyboxTar()) });
  const run = (flag: string) => user.husk('run', '--rm', '--network=none', flag, 'box', 'true');
  const asked = LIMITS.map(([field, value]) => ({ [field]: value }));
  configure(user, 'refuse');
  const strict = await create(user, asked);
  const isRefused = strict.map(({ status }) => status !== 201);
  for (const [index, [field, , flag]] of LIMITS.entries()) {
    const { status, stderr } = run(flag);
    t.is(status, isRefused[index] ? 125 : 0, stderr);
    if (!isRefused[index]) continue;
    t.is(strict[index]!.status, 400, `${field}: ${strict[index]!.said[0]}`);
    t.regex(stderr, new RegExp(`^Error: cannot enforce .*${flag.split('=')[0]}`));
  }
  configure(user, 'warn');
  const lax = await create(user, asked);
  for (const [index, [field, value, flag, text]] of LIMITS.entries()) {
    const { status, said, id } = lax[index]!;
    t.deepEqual([status, said], [201, isRefused[index] ? [text] : []], field);
    const told = run(flag);
    t.is(told.status, 0, told.stderr);
    t.is(told.stderr.includes(text), isRefused[index] === true, told.stderr);
    // What was left out is not in the record, and the container runs.
    const [kept] = JSON.parse(user.husk('inspect', id).stdout) as { HostConfig: Record<string, unknown> }[];
    t.is(kept!.HostConfig[field] === value, !isRefused[index], field);
    t.is(user.husk('start', '--attach', id).status, 0);
  }
});

real('zero and null are no limit, whatever the config says', async (t) => {
  using user = ordinaryUser();
  user.run([HUSK, 'import', '-', 'box'], { input: readFileSync(busyboxTar()) });
  const none = {
    Memory: 0,
    NanoCpus: null,
    PidsLimit: null,
    CpusetCpus: '',
    MemorySwap: 0,
    CpuShares: 0,
    BlkioWeight: 0,
  };
  for (const word of [undefined, 'refuse', 'warn'] as const) {
    configure(user, word);
    t.like(await create(user, [none]), [{ status: 201, said: [] }], word);
  }
});

real('a word that the config does not know is refused with those it does', (t) => {
  using user = ordinaryUser();
  configure(user, 'ignore' as 'warn');
  const { status, stderr } = user.husk('ps');
  t.not(status, 0);
  t.regex(stderr, /unenforceable-limits.*refuse.*warn/s);
});
