/**
 * Real clients of the Docker Engine API over containers in virtual machines: Docker's own command lines and dockerode,
 * each beside user namespaces, with which it must agree; testcontainers with and without its reaper; and exit codes of
 * many short containers. Each isolation has a data root and a `husk serve`, whose default it is.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import test from 'ava';
import { dockerClient, type DockerClient } from '../fixtures/docker-client.ts';
import { readScript } from '../peer/script-lines.ts';
import { REAPER, reaperChanges } from '../service/stand-in-ryuk.ts';
import { driveDockerode } from './clients/dockerode.ts';
import { servedPlace, type ServedPlace } from './clients/served-place.ts';
import { compared } from './place.ts';
import { BASE, missingParts, notByItself, onKvmHost, root } from './kvm-host.ts';
import { makeUnixClient } from './parts.ts';

/** seconds for all of it; a free machine takes eight minutes */
const LIMIT = 3000;
/** HUSK_CLIENTS_EXITS=100: so many short containers */
const EXITS = Number(process.env['HUSK_CLIENTS_EXITS'] ?? 3);

/** HUSK_CLIENTS_PARTS=docker,libraries: what is run; HUSK_TEST_VM=1: all of it */
const PARTS = process.env['HUSK_CLIENTS_PARTS']?.split(',') ?? ['docker', 'libraries'];

const missing = missingParts() ?? (process.env['HUSK_CLIENTS_PARTS'] ? undefined : notByItself());
// not looked for before it is wanted: where there is none it is fetched
const client = missing ?? dockerClient();
if (typeof client === 'string') test.skip(client, () => {});
else {
  if (process.env['VMHOST'] !== '1') makeUnixClient();
  // the same client inside, where no other can be had
  const env = {
    HUSK_TEST_DOCKER: client.path,
    HUSK_CLIENTS_EXITS: String(EXITS),
    HUSK_CLIENTS_PARTS: PARTS.join(','),
  };
  await onKvmHost(import.meta.url, () => register(client), { seconds: LIMIT, env });
}

function register(client: DockerClient): void {
  let [userns, vm]: ServedPlace[] = [];
  test.before('two servers', async (t) => {
    t.timeout(LIMIT * 1000);
    userns = await servedPlace('userns', client);
    vm = await servedPlace('vm', client);
  });
  test.after.always('nothing is left running', async (t) => {
    t.deepEqual([...((await userns?.end()) ?? []), ...((await vm?.end()) ?? [])], []);
  });

  if (PARTS.includes('docker')) registerLines({ userns: () => userns!, vm: () => vm! });
  if (PARTS.includes('libraries')) registerLibraries({ userns: () => userns!, vm: () => vm! });
}

/** The places are there once the tests run. */
interface Places {
  userns: () => ServedPlace;
  vm: () => ServedPlace;
}

function registerLines({ userns, vm }: Places): void {
  const lines = readScript('docker', 'test/vmm/clients');
  for (const section of new Set(lines.map((line) => line.section)))
    test.serial(`docker: ${section}`, async (t) => {
      t.timeout(LIMIT * 1000);
      const known = readFileSync(join(root, 'docs/differences.md'), 'utf8');
      const wrong: string[] = [];
      for (const line of lines.filter((one) => one.section === section)) {
        // One after the other: what makes a network waits for who makes another one half a minute, and no longer.
        const here = await userns().run(line.command);
        const there = await vm().run(line.command);
        const problem =
          compared(line, { here, there, known }) ??
          (line.prints?.test(there.stdout.trimEnd()) === false ? `${line.prints} does not match` : undefined);
        if (problem !== undefined)
          wrong.push(
            `docker.sh:${line.number}: ${line.command}\n  ${problem}\n--- userns ${here.status}\n${here.stdout}${here.stderr}--- vm ${there.status}\n${there.stdout}${there.stderr}`,
          );
      }
      if (wrong.length > 0) t.fail(wrong.join('\n\n'));
      else t.pass();
    });

  test.serial(`${EXITS} short containers: each exit code is right, and none hangs`, async (t) => {
    t.timeout(Math.max(LIMIT, EXITS * 60) * 1000);
    for (let code = 0; code < EXITS; code++) {
      const { status, stdout, stderr } = await vm().run(`docker run --rm box sh -c 'uname -r; exit ${code}'`);
      t.deepEqual([status, stderr], [code, '']);
      // the guest's kernel
      t.regex(stdout, /^6\.\d+\.\d+-husk\n$/);
    }
    t.is((await vm().run('docker ps -aq')).stdout, '');
  });
}

function registerLibraries({ userns, vm }: Places): void {
  test.serial('dockerode: a terminal, execs, figures, files', async (t) => {
    t.timeout(LIMIT * 1000);
    const [here, there] = await Promise.all([driveDockerode(userns().socket), driveDockerode(vm().socket)]);
    t.deepEqual(there.told, here.told);
    t.like(there.told, {
      size: '33 77\r\n',
      'size of an exec': '20 90\r\n',
      'running exec': { Running: true, ExitCode: null },
      'sized exec': { ExitCode: 6 },
      'fed exec': ['to stdin', 'err\n', { ExitCode: 4 }],
      'exec behind': { ExitCode: 8 },
      stats: {
        follows: true,
        before: true,
        grows: true,
        host: true,
        memory: true,
        processes: true,
        memoryKinds: true,
      },
      archive: 'put',
      wait: { StatusCode: 5 },
      'execs of one that has ended': [{ ExitCode: 6 }, { ExitCode: 137 }],
      left: [],
    });
    t.true(here.pid > 0);
    // docs/differences.md: it is the guest's
    t.is(there.pid, 0);
  });

  test.serial('testcontainers: a log, files and execs; a network; a reaper', async (t) => {
    t.timeout(LIMIT * 1000);
    const { home, socket } = vm();
    home.must('import', BASE, 'bb');
    home.must('import', ...reaperChanges(), BASE, REAPER);
    for (const [steps, settings] of [
      [['log', 'network'], { TESTCONTAINERS_RYUK_DISABLED: 'true' }],
      [['ryuk'], { RYUK_CONTAINER_IMAGE: REAPER }],
    ] as const) {
      const env = { ...home.env, HOME: home.folder, DOCKER_HOST: `unix://${socket}` };
      const script = join(root, 'test/service/script/testcontainers.ts');
      const child = spawn(process.execPath, ['--disable-warning=ExperimentalWarning', script, ...steps], {
        env: { ...env, TESTCONTAINERS_HOST_OVERRIDE: 'localhost', ...settings },
        stdio: ['ignore', 'pipe', 'inherit'],
      });
      const ended = once(child, 'close');
      const through: string[] = [];
      for await (const line of createInterface({ input: child.stdout })) {
        const { name, error, ms } = JSON.parse(line) as { name: string; error?: string; ms: number };
        t.is(error, undefined, name);
        t.log(`${name}: ${ms} ms`);
        through.push(name);
      }
      t.deepEqual(await ended, [0, null]);
      t.deepEqual(through, [...steps]);
    }
    t.is(home.must('ps', '-aq'), '');
  });
}
