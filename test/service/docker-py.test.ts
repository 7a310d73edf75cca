/**
 * docker-py, Debian's, over its whole surface: the same steps (script/docker-py.py) against `husk serve` as an ordinary
 * user and against Docker's own engine, where that can be had; what each step gives must agree. A step that differs has
 * its reason in `DIFFERENCES`, and that it differs is checked too.
 */
import { spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import type { Readable } from 'node:stream';
import test from 'ava';
import { dockerEngine } from '../fixtures/docker-engine.ts';
import { busyboxTar, missingImageTools } from '../fixtures/images.ts';
import { ordinaryUser, ROOT } from '../fixtures/user.ts';
import { serveAs } from './fixture.ts';

/** by step: why husk's result is another than Docker's (docs/differences.md has each) */
const DIFFERENCES: Readonly<Record<string, string>> = {
  networks: 'a driver that there is none of is 400 to husk, 404 to Docker',
  run_of_what_is_not_there:
    'a network that is not there is 400 at create, and 404 at the start of a container of Docker',
};

/**
 * by step: reports of troubles that clients had here with other engines (engine-api/troubles.test.ts has the others)
 */
const TROUBLES: Readonly<Record<string, string>> = {
  archives: 'podman#8126',
  published_port: 'podman#6803',
  push_and_pull: 'podman#7857, quarkus#33985',
};

interface Outcome {
  name: string;
  result?: unknown;
  error?: string;
}

const SCRIPT = join(import.meta.dirname, 'script/docker-py.py');
const STEPS = [...readFileSync(SCRIPT, 'utf8').matchAll(/^@step\ndef (\w+)\(/gm)].map(([, name]) => name!);
/** does not write beside the script, which is not its user's */
const PYTHON = ['/usr/bin/python3', '-B'];

const problem = whyNot();
const peer = problem === undefined ? await dockerEngine() : undefined;
const mine = new Map<string, Outcome>();
const theirs = new Map<string, Outcome>();

function whyNot(): string | undefined {
  if (!existsSync(join(ROOT, 'dist/husk-main.cjs'))) return 'husk is not built: make build';
  if (spawnSync(PYTHON[0]!, [...PYTHON.slice(1), '-c', 'import docker']).status !== 0)
    return 'docker-py is not installed: apt install python3-docker';
  return missingImageTools();
}

async function askHusk(): Promise<void> {
  using user = ordinaryUser();
  await using server = await serveAs(user);
  const folder = join(user.home, 'work');
  user.run(['mkdir', folder]);
  const child = user.start([...PYTHON, SCRIPT, busyboxTar(), folder], {
    env: { ...user.env, DOCKER_HOST: server.host },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const ended = once(child, 'close');
  for await (const line of createInterface({ input: child.stdout as Readable })) note(mine, line);
  await ended;
}

const note = (outcomes: Map<string, Outcome>, line: string): void => {
  const outcome = JSON.parse(line) as Outcome;
  outcomes.set(outcome.name, outcome);
};

if (problem !== undefined) test.skip(`docker-py: ${problem}`, () => {});
else {
  test.before(async () => {
    await askHusk();
    if (typeof peer !== 'object') return;
    const folder = join(peer.work, 'docker-py');
    mkdirSync(folder);
    const { stdout, stderr } = peer.run([...PYTHON, SCRIPT, busyboxTar(), folder]);
    for (const line of stdout.trimEnd().split('\n')) note(theirs, line);
    if (theirs.size < STEPS.length) throw new Error(`the steps beside Docker's own engine have ended: ${stderr}`);
  });
  test.after.always(async () => {
    if (typeof peer === 'object') await peer[Symbol.asyncDispose]();
  });
  for (const name of STEPS)
    test.serial(`docker-py: ${name.replaceAll('_', ' ')}${name in TROUBLES ? ` (${TROUBLES[name]})` : ''}`, (t) => {
      const outcome = mine.get(name);
      t.truthy(outcome, 'the client has ended before this step');
      t.is(outcome?.error, undefined);
    });
  if (typeof peer === 'string') test.skip(`docker-py beside Docker's own engine: ${peer}`, () => {});
  else
    for (const name of STEPS)
      test.serial(`docker-py: ${name.replaceAll('_', ' ')}, as Docker's own engine has it`, (t) => {
        const [husk, docker] = [mine.get(name), theirs.get(name)];
        t.is(docker?.error, undefined);
        const why = DIFFERENCES[name];
        if (why === undefined) t.deepEqual(husk?.result, docker?.result);
        else t.notDeepEqual(husk?.result, docker?.result, `they no longer differ: ${why}`);
      });
}
