/**
 * testcontainers over `husk serve`, as an ordinary user: each way of waiting, networks, builds, reuse, commit, compose,
 * and a reaper. What its user writes is `script/testcontainers.ts`.
 */
import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { createInterface } from 'node:readline';
import type { Readable } from 'node:stream';
import test from 'ava';
import { dockerClient } from '../fixtures/docker-client.ts';
import { missingPlugins, putPlugins } from '../fixtures/docker-plugins.ts';
import { HUSK, ordinaryUser, ROOT, type TestUser } from '../fixtures/user.ts';
import { missingWorkloadTools, workloadTar } from '../fixtures/workload-image.ts';
import { serveAs, type TestServer } from './fixture.ts';
import { REAPER, reaperChanges } from './stand-in-ryuk.ts';

/** the steps in their order, and what each shows */
const STEPS = {
  readme: 'the quick start: Redis, whose port is published, keeps a value',
  port: 'waits for a published port, which is closed again with the container',
  log: 'waits for a line of the log; environment, copies in and out, exec',
  health: 'waits for a health check',
  http: 'waits for an answer of HTTP',
  shell: 'waits for a command in the container',
  'one-shot': 'waits for a container to end, and is told of one that fails',
  network: 'a network and an alias on it',
  restart: 'a restart keeps files and finds the new port',
  build: 'a Dockerfile with arguments; one that fails is told',
  reuse: 'finds the container that it has started before',
  commit: 'an image of a container',
  compose: 'an environment of compose',
} as const;

/** Debian's server is the program behind this name, as which it is called. */
const REDIS = 'ln -s /usr/bin/redis-check-rdb /tmp/redis-server; exec /tmp/redis-server --protected-mode no --save ""';

interface Outcome {
  name: string;
  error?: string;
  ms: number;
}

const built = existsSync(join(ROOT, 'dist/husk-main.cjs')) && existsSync('/bin/busybox');
const check = built ? test.serial : test.serial.skip;
const client = dockerClient();
/** why compose cannot be run here, if so */
const withoutCompose = typeof client === 'string' ? client : missingPlugins();
const withoutRedis = missingWorkloadTools();
/** why a step cannot be run here, if so */
const missing = (name: string): string | undefined =>
  name === 'compose' ? withoutCompose : name === 'readme' ? withoutRedis : undefined;
const names = Object.keys(STEPS).filter((name) => missing(name) === undefined);
/** of each step, with a reaper and without */
const outcomes = { alone: new Map<string, Outcome>(), reaper: new Map<string, Outcome>() };
/** containers and networks that are there after all steps */
let left: string[] | undefined;

if (built)
  test.before(async () => {
    using user = ordinaryUser();
    const tree = execFileSync(join(ROOT, 'setup/base-tree'), { maxBuffer: 64 << 20 });
    const run = (program: string): string[] => ['--change', `CMD ${JSON.stringify(['sh', '-c', program])}`];
    const put = (name: string, changes: string[], input: Buffer): void => {
      const { status, stderr } = user.run([HUSK, 'import', ...changes, '-', name], { input });
      if (status !== 0) throw new Error(`cannot import ${name}: ${stderr}`);
    };
    put('bb', [], tree);
    put(REAPER, reaperChanges(), tree);
    if (withoutRedis === undefined) put('redis:8', run(REDIS), readFileSync(workloadTar()));
    const path = composePath(user);
    await using server = await serveAs(user);
    const alone = { PATH: path, TESTCONTAINERS_RYUK_DISABLED: 'true' };
    await runSteps(user, server, { names, env: alone, outcomes: outcomes.alone });
    // Its own step is the last: the reaper is stopped there.
    const withReaper = { PATH: path, RYUK_CONTAINER_IMAGE: REAPER };
    await runSteps(user, server, { names: [...names, 'ryuk'], env: withReaper, outcomes: outcomes.reaper });
    left = leftOf(user);
  });

/** Puts Docker's client and compose where testcontainers finds them. @returns PATH */
function composePath(user: TestUser): string {
  const config = join(user.home, '.docker');
  mkdirSync(config);
  if (withoutCompose === undefined) putPlugins(config);
  const path = user.env['PATH']!;
  return typeof client === 'string' || !client.path.includes('/') ? path : `${dirname(client.path)}:${path}`;
}

async function runSteps(
  user: TestUser,
  server: TestServer,
  asked: { names: string[]; env: NodeJS.ProcessEnv; outcomes: Map<string, Outcome> },
): Promise<void> {
  const script = join(import.meta.dirname, 'script/testcontainers.ts');
  const child = user.start([process.execPath, '--disable-warning=ExperimentalWarning', script, ...asked.names], {
    // Where these tests are run inside a container, testcontainers would look for ports at the bridge's gateway, which
    // a rootless engine has in its own namespace.
    env: { ...user.env, DOCKER_HOST: server.host, TESTCONTAINERS_HOST_OVERRIDE: 'localhost', ...asked.env },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const ended = once(child, 'close');
  for await (const line of createInterface({ input: child.stdout as Readable })) {
    const outcome = JSON.parse(line) as Outcome;
    asked.outcomes.set(outcome.name, outcome);
  }
  await ended;
}

/** What has not been removed is, so that no failure leaves a container behind. */
function leftOf(user: TestUser): string[] {
  const words = (...command: string[]): string[] =>
    user
      .husk(...command)
      .stdout.split('\n')
      .filter((word) => word !== '');
  const containers = words('ps', '--all', '--quiet', '--no-trunc');
  if (containers.length > 0) user.husk('rm', '--force', ...containers);
  return [...containers, ...words('network', 'ls', '--quiet', '--filter', 'type=custom')];
}

function judge(name: string, title: string, found: ReadonlyMap<string, Outcome>): void {
  const reason = missing(name);
  if (reason !== undefined) return void test.skip(`${title} (${reason})`, () => {});
  check(title, (t) => {
    const outcome = found.get(name);
    t.truthy(outcome, 'the client has ended before this step was through');
    t.is(outcome?.error, undefined);
    if (outcome) t.log(`${outcome.ms} ms`);
  });
}

for (const [name, title] of Object.entries(STEPS)) judge(name, `${name}: ${title}`, outcomes.alone);
for (const [name, title] of Object.entries({
  ...STEPS,
  ryuk: 'a reaper with the socket of the server (podman#6015, #20204)',
}))
  judge(name, `with a reaper, ${name}: ${title}`, outcomes.reaper);

check('no container and no network is left', (t) => t.deepEqual(left, []));
