/**
 * Docker's real compose over husk's API, as an ordinary user: a web server, an application that is built, and
 * PostgreSQL, with health checks, a named volume, networks and a published port. Each line is a command, its exit code
 * and what it prints.
 */
import { once } from 'node:events';
import { cpSync, existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import type { Readable } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import test, { type ExecutionContext } from 'ava';
import { dockerClient } from '../../fixtures/docker-client.ts';
import { missingPlugins, putPlugins } from '../../fixtures/docker-plugins.ts';
import { processesNaming } from '../../fixtures/faults.ts';
import { HUSK, ordinaryUser, ROOT, TIMEOUT, type Result, type TestUser } from '../../fixtures/user.ts';
import { missingWorkloadTools, PGBIN, workloadTar } from '../../fixtures/workload-image.ts';
import { serveAs } from '../fixture.ts';

const built = existsSync(join(ROOT, 'dist/husk.cjs')) ? undefined : 'husk is not built';
const client = dockerClient();
const missing =
  built ?? missingWorkloadTools() ?? missingPlugins() ?? (typeof client === 'string' ? client : undefined);
const check = missing === undefined ? test.serial : test.serial.skip;
const title = (text: string): string => (missing === undefined ? text : `${text} (${missing})`);

interface Project {
  user: TestUser;
  /** argv and environment of `docker compose WORDS`, with nothing of husk's but the address of its server */
  command(...words: string[]): { argv: string[]; env: NodeJS.ProcessEnv };
  compose(...words: string[]): Result;
  husk(...words: string[]): string;
}

function projectOf(t: ExecutionContext): Project {
  const user = ordinaryUser();
  t.teardown(() => user[Symbol.dispose]());
  const config = join(user.home, 'docker');
  user.run(['mkdir', config]);
  putPlugins(config);
  cpSync(import.meta.dirname, join(user.home, 'shop'), { recursive: true });
  user.run(['chmod', '-R', 'a+rX', 'shop']);
  t.is(user.run([HUSK, 'import', '-', 'workload'], { input: readFileSync(workloadTar()) }).status, 0);
  const shop = ['--project-directory', 'shop', '-f', 'shop/compose.yaml', '-p', 'shop'];
  const env = { DOCKER_CONFIG: config, DOCKER_HOST: `unix://${join(user.home, 'run/husk/docker.sock')}` };
  const docker = typeof client === 'string' ? '' : client.path;
  const command = (...words: string[]) => ({ argv: [docker, 'compose', ...shop, ...words], env });
  const compose = (...words: string[]): Result => user.run(command(...words).argv, { env, timeout: TIMEOUT });
  const husk = (...words: string[]): string => {
    const { status, stdout, stderr } = user.husk(...words);
    t.is(status, 0, `husk ${words.join(' ')}: ${stderr}`);
    return stdout.trim();
  };
  t.teardown(() =>
    user.run([HUSK, 'compose', ...shop, 'down', '-v', '-t', '0'], { env: { DOCKER_CONFIG: config }, timeout: TIMEOUT }),
  );
  return { user, command, compose, husk };
}

/** One line: a command, and what it prints. The exit code is 0 where none is given. */
type Line = [words: string, prints: RegExp, code?: number];

const LINES: readonly Line[] = [
  ['config --services', /^db\napp\nweb\n$/],
  ['config --volumes', /^data\n$/],
  ['up -d', /Container shop-web-1 {2}Started/],
  ['ps --services', /^(?=[^]*^app$)(?=[^]*^db$)(?=[^]*^web$)/m],
  ['ps --format {{.Service}}={{.Health}} app', /^app=healthy\n$/],
  ['ps --format json db', /"Health":"healthy".*"State":"running"/],
  ['port web 80', /^127\.0\.0\.1:\d+\n$/],
  ['exec -T db id -un', /^postgres\n$/],
  ['exec -T app wget -qO- http://web/', /^hello\nt\n$/],
  ['exec -T app sh -c exit\\ 7', /^$/, 7],
  ['exec -T web nslookup database 127.0.0.11', /./, 1],
  ['logs --no-log-prefix --no-color web', /"GET \/ HTTP\/1\.1" 200/],
  ['top db', /postgres -D/],
  ['images --format json', /"Repository":"shop-app"/],
  ['ls --format json', /"Name":"shop","Status":"running\(3\)"/],
  // pausing is not here: it needs a cgroup v2 that is delegated to the user, which not every machine has
  ['restart -t 1 app', /Container shop-app-1 {2}Started/],
  ['stop -t 5 web', /Container shop-web-1 {2}Stopped/],
  ['start web', /Container shop-web-1 {2}Started/],
  ['kill web', /Container shop-web-1 {2}Killed/],
  ['ps -a --format {{.State}}\\ {{.ExitCode}} web', /^exited 137\n$/],
  ['rm -f web', /Going to remove shop-web-1/],
  ['up -d --wait web', /Container shop-web-1 {2}Started/],
  ['exec -T app wget -qO- http://web/', /^hello\nt\n$/],
  ['run --rm -T app cat /srv/greeting', /^hello\n$/m],
  ['run --rm -T --no-deps -e X=5 app sh -c exit\\ $X', /^/, 5],
  ['cp web:/etc/web/nginx.conf -', /worker_processes/],
  ['up -d --scale app=2 --no-recreate', /Container shop-app-2 {2}Started/],
  ['ps --services --status exited', /^\n?$/],
  ['version --short', /^\d+\.\d+/],
  ['up -d nosuch', /no such service: nosuch/, 1],
];

check(title('compose brings up, changes and takes down a project of three services'), async (t) => {
  t.timeout(3 * TIMEOUT);
  const project = projectOf(t);
  const { compose, husk, user } = project;
  const server = await serveAs(user);
  t.teardown(() => server[Symbol.asyncDispose]());
  for (const [words, prints, code = 0] of LINES) {
    const { status, stdout, stderr } = compose(...words.split(/(?<!\\) /).map((word) => word.replaceAll('\\ ', ' ')));
    const said = stdout === '' || words.startsWith('up') ? stderr + stdout : stdout;
    t.is(status, code, `${words}: ${said}`);
    t.regex(said, prints, words);
  }
  const ids = (): string => husk('ps', '-aq', '--no-trunc').split('\n').toSorted().join();
  t.is(compose('up', '-d', '--scale', 'app=2').status, 0);
  const before = ids();
  t.is(compose('up', '-d', '--scale', 'app=2').status, 0);
  t.is(ids(), before, 'a second up recreates nothing');

  // What the database has kept outlives the containers, and goes with `-v`.
  const visits = (): number => {
    const sql = 'SELECT count(*) FROM visits';
    const { stdout } = compose('exec', '-T', 'db', `${PGBIN}/psql`, '-h', '127.0.0.1', '-U', 'postgres', '-tAc', sql);
    return Number(stdout);
  };
  const seen = visits();
  t.true(seen > 0);
  t.is(compose('down', '-t', '5').status, 0);
  t.is(husk('volume', 'ls', '-q'), 'shop_data');
  await upInFront(t, project, async (port) => {
    const answer = await fetch(`http://127.0.0.1:${port}/`);
    t.is(await answer.text(), 'hello\nt\n');
    t.true(visits() > seen);
  });
  t.regex(compose('ps', '-a', '--format', '{{.State}}').stdout, /^exited\nexited\nexited\n$/);

  t.is(compose('down', '-v', '--rmi', 'local').status, 0);
  t.is(husk('ps', '-aq'), '');
  t.is(husk('volume', 'ls', '-q'), '');
  t.is(husk('network', 'ls', '-q', '--filter', 'type=custom'), '');
  t.is(husk('images', '--format', '{{.Repository}}'), 'workload');
  t.deepEqual(leftIn(user, 'containers'), []);
  t.deepEqual(leftIn(user, 'volumes'), []);
  await server[Symbol.asyncDispose]();
  // The keeper of a network stays for three seconds after its last container.
  for (let patience = 0; patience < 600 && processesOf(user).length > 0; patience++) await sleep(100);
  t.deepEqual(processesOf(user), []);
});

/** `docker compose up` as a person runs it, whose Ctrl-C ends it once the web server answers. */
async function upInFront(
  t: ExecutionContext,
  { user, command, compose }: Project,
  body: (port: string) => Promise<void>,
): Promise<void> {
  const { argv, env } = command('up', '--no-color', '-t', '5');
  const child = user.start(argv, {
    env: { ...user.env, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
    detached: true,
  });
  const ended = once(child, 'exit');
  let said = '';
  child.stderr!.setEncoding('utf8').on('data', (text: string) => (said = (said + text).slice(-4000)));
  const lines = createInterface({ input: child.stdout as Readable });
  // It waits for the health of what it depends on, so that it is started last.
  for await (const line of lines) if (line.startsWith('web-1') || line.startsWith('Attaching to')) break;
  child.stdout!.resume();
  try {
    let port = '';
    while (port === '' && child.exitCode === null) {
      port = /^127\.0\.0\.1:(\d+)\n$/.exec(compose('port', 'web', '80').stdout)?.[1] ?? '';
      if (port === '') await sleep(100);
    }
    await body(port);
  } finally {
    process.kill(-child.pid!, 'SIGINT');
  }
  const [code] = (await ended) as [number | null];
  t.true(code === 0 || code === 130, `up ended with ${code}: ${said}`);
}

/** Names in a folder of the data root, but for what is hidden. */
function leftIn({ home }: TestUser, folder: string): string[] {
  return readdirSync(join(home, 'data/husk', folder)).filter((name) => !name.startsWith('.'));
}

/** Processes that husk has started for this user, and those in whose mounts there is something of this data root. */
function processesOf({ home }: TestUser): string[] {
  const mounted = readdirSync('/proc').filter((name) => {
    try {
      return /^\d+$/.test(name) && readFileSync(`/proc/${name}/mountinfo`, 'latin1').includes(home);
    } catch {
      return false;
    }
  });
  return [...new Set([...processesNaming(home), ...mounted.map(Number)])].flatMap((pid) => {
    try {
      return [readFileSync(`/proc/${pid}/cmdline`, 'latin1').replaceAll('\0', ' ')];
    } catch {
      return [];
    }
  });
}

check(title('compose without a server that runs has one of its own, which is gone with it'), (t) => {
  const { user } = projectOf(t);
  const { status, stdout } = user.run([HUSK, 'compose', 'ls', '--format', 'json'], {
    env: { DOCKER_CONFIG: join(user.home, 'docker') },
  });
  t.is(status, 0);
  t.is(stdout.trim(), '[]');
  t.deepEqual(user.run(['sh', '-c', 'ls run/husk | grep api-']).stdout, '');
});
