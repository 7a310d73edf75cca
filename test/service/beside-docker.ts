/**
 * The same command lines of the same clients, each run by a shell, against `husk serve` as an ordinary user and against
 * Docker's own engine as root: exit code, standard output and what standard error says last must agree once ids and
 * times are taken out. A line that differs has its reason below it:
 *   ~ REASON  they differ, and that they do is checked too
 *
 * Lines of `said COMMAND` compare all of standard error, sorted: what is worked on side by side ends in any order.
 */
import { spawnSync } from 'node:child_process';
import { cpSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { dockerClient, type DockerClient } from '../fixtures/docker-client.ts';
import { dockerEngine, type DockerEngine } from '../fixtures/docker-engine.ts';
import { missingPlugins, putPlugins } from '../fixtures/docker-plugins.ts';
import { busyboxTar, missingImageTools, startRegistry } from '../fixtures/images.ts';
import { HUSK, ordinaryUser, TIMEOUT, type Result } from '../fixtures/user.ts';
import { missingBuild } from '../peer/peers.ts';
import { clean, shell, workplace, reportOf } from '../peer/script-lines.ts';
import { serveAs } from './fixture.ts';

export interface Script {
  name: string;
  /** of the command lines */
  file: string;
  /** a folder whose content lies beside the lines when they run */
  beside?: string;
  /** with Docker's compose and buildx, and a registry of its own on each side, `$REGISTRY` */
  plugins?: boolean;
}

/**
 * Declares a test for each script. Both engines are asked for before: a test that cannot run is counted as what it is.
 */
export async function judgeBesideDocker(scripts: readonly Script[]): Promise<void> {
  const client = dockerClient();
  const plugins = scripts.some((script) => script.plugins) ? missingPlugins() : undefined;
  const problem = missingImageTools() ?? missingBuild() ?? plugins ?? (typeof client === 'string' ? client : undefined);
  const engine = problem ?? (await dockerEngine());
  if (typeof engine === 'string') {
    test.skip(`command lines beside Docker's own engine: ${engine}`, () => {});
    return;
  }
  test.after.always(() => engine[Symbol.asyncDispose]());
  for (const script of scripts) {
    const lines = readLines(script.file);
    test.serial(`${script.name}: ${lines.length} command lines of docker's client`, async (t) => {
      t.timeout(Math.max(TIMEOUT, lines.length * 20_000));
      compare(t, lines, {
        ...(await places(t, { script, client: client as DockerClient, engine })),
        name: script.name,
      });
    });
  }
}

type Run = (line: string, input?: Buffer) => Result;

interface Line {
  number: number;
  command: string;
  differs?: string;
}

function readLines(file: string): Line[] {
  const lines: Line[] = [];
  for (const [index, line] of readFileSync(file, 'utf8').split('\n').entries()) {
    if (line.startsWith('~ ')) lines.at(-1)!.differs = line.slice(2);
    else if (line !== '' && !line.startsWith('#')) lines.push({ number: index + 1, command: line });
  }
  return lines;
}

/** Both engines with the image `box`, and a folder on either side with the same files and the same clients. */
async function places(
  t: ExecutionContext,
  { script, client: { path }, engine: peer }: { script: Script; client: DockerClient; engine: DockerEngine },
): Promise<{ husk: Run; docker: Run }> {
  const user = ordinaryUser();
  t.teardown(() => user[Symbol.dispose]());
  const server = await serveAs(user);
  t.teardown(() => server[Symbol.asyncDispose]());
  t.teardown(() => user.run(['sh', '-c', `ids=$(${HUSK} ps -aq); [ -z "$ids" ] || ${HUSK} rm -f $ids`]));
  const program = `#!/bin/sh\nexec ${path} "$@"\n`;
  const registry = script.plugins ? { REGISTRY: await twoRegistries(t, peer) } : {};
  const place = (owner: Parameters<typeof workplace>[0], name: string): NodeJS.ProcessEnv => {
    const env: NodeJS.ProcessEnv = { ...workplace(owner, name, program), ...registry, TZ: 'UTC' };
    const work = env['WORK']!;
    const config = join(work, 'docker-config');
    if (script.plugins) putPlugins(config);
    if (script.beside !== undefined) cpSync(script.beside, work, { recursive: true });
    writeFileSync(join(work, 'bin/said'), SAID, { mode: 0o755 });
    spawnSync('chown', ['-hR', `${owner.uid}:${owner.gid}`, work]);
    return { ...env, DOCKER_CONFIG: config };
  };
  const env = { ...place(user, 'work'), DOCKER_HOST: server.host };
  const husk: Run = (line, input) => user.run(shell(line), { env, timeout: TIMEOUT, ...(input && { input }) });
  const {
    PATH,
    WORK,
    DOCKER_CONFIG,
    REGISTRY = '',
  } = place({ home: peer.work, uid: 0, gid: 0, env: process.env }, script.name);
  const own = [`PATH=${PATH}`, `WORK=${WORK}`, `DOCKER_CONFIG=${DOCKER_CONFIG}`, `REGISTRY=${REGISTRY}`];
  const docker: Run = (line, input) => peer.run(['env', ...own, ...shell(line)], input && { input });
  for (const run of [husk, docker]) {
    const { status, stderr } = run(`docker import --change 'CMD ["sh"]' - box`, readFileSync(busyboxTar()));
    if (status !== 0) throw new Error(stderr);
    // What an engine says once of its host is said now.
    run('docker run --rm box true');
  }
  t.teardown(() =>
    docker(
      'docker ps -aq | xargs -r docker rm -f; docker volume prune -af; docker network prune -f; docker rmi -f box',
    ),
  );
  return { husk, docker };
}

/** What a command prints, and what it says on standard error, sorted and without times; its code. */
const SAID = `#!/bin/sh
"$@" 2>"$WORK/said.txt"; code=$?
sed 's/ *[0-9.]*s *$//; s/^time="[^"]*" //' "$WORK/said.txt" | sort
exit $code
`;

/** A registry for husk, and one on the same port where Docker's engine is. @returns `127.0.0.1:PORT` */
async function twoRegistries(t: ExecutionContext, peer: DockerEngine): Promise<string> {
  const registry = await startRegistry();
  t.teardown(() => registry[Symbol.asyncDispose]());
  const settings = {
    version: 0.1,
    log: { level: 'error' },
    storage: { filesystem: { rootdirectory: join(peer.work, 'registry') } },
    http: { addr: registry.host },
  };
  writeFileSync(join(peer.work, 'registry.yml'), JSON.stringify(settings));
  const started = peer.run([
    'sh',
    '-c',
    `docker-registry serve registry.yml >registry.log 2>&1 & echo $!
    until curl -fs http://${registry.host}/v2/ >/dev/null || ! kill -0 $!; do sleep 0.1; done`,
  ]);
  t.teardown(() => peer.run(['kill', started.stdout.trim()]));
  return registry.host;
}

function compare(
  t: ExecutionContext,
  lines: readonly Line[],
  { husk, docker, name }: { husk: Run; docker: Run; name: string },
) {
  const wrong: string[] = [];
  for (const { number, command, differs } of lines) {
    const mine = husk(command);
    let theirs = docker(command);
    if (hasLost(command, mine, theirs)) theirs = docker(command);
    const agrees = outcome(mine) === outcome(theirs);
    if (agrees === (differs === undefined) && mine.status !== null) continue;
    const what = mine.status === null ? 'husk hangs' : agrees ? `they no longer differ: ${differs}` : 'they differ';
    wrong.push(reportOf(`${name}.sh:${number}`, { command, what, mine, theirs, peer: 'docker' }));
  }
  if (wrong.length > 0) t.fail(wrong.join('\n\n'));
  else t.pass();
}

/**
 * On a busy machine Docker's engine loses the output of a container that ends at once: of `run --rm … hostname` nothing
 * comes, and the exit code is 0. Lines that leave nothing behind are asked of it once more; husk is asked once.
 */
function hasLost(command: string, mine: Result, theirs: Result): boolean {
  if (!/^(?:docker run --rm|for) /.test(command) || mine.status !== theirs.status) return false;
  const [ours, others] = [mine, theirs].map(({ stdout }) => clean(stdout).split('\n')) as [string[], string[]];
  return others.length < ours.length && others.every((line) => line === '' || ours.includes(line));
}

const outcome = ({ status, stdout, stderr }: Result): string => [status, clean(stdout), lastWord(stderr)].join('\n');

/** The client's last line with the engine's message: husk's fix stands below it, and the client's own advice too. */
function lastWord(stderr: string): string {
  const lines = clean(stderr)
    .split('\n')
    .filter((line) => line.trim() !== '' && !/^(Run|See) 'docker/.test(line));
  return lines.findLast((line) => /Error|error/.test(line)) ?? lines.at(-1) ?? '';
}
