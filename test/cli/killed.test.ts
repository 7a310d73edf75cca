/**
 * kill -9 on what really runs: commands, supervisors, monitors, pasta and containers of a whole husk, at random. Then
 * `ps -a` tells the truth, `rm -f` cleans, and nothing is left. test/engine/crash.test.ts does many more rounds of it
 * without containers. HUSK_KILL_ROUNDS sets how many.
 */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import test from 'ava';
import { busyboxLayout, missingImageTools, startRegistry } from '../fixtures/images.ts';
import { HUSK, ordinaryUser, ROOT } from '../fixtures/user.ts';

const ROUNDS = Number(process.env['HUSK_KILL_ROUNDS'] ?? 4);
const CONTAINERS = 5;
/** ms for the kernel to end what dies with its parent */
const PATIENCE = 60_000;

const missing =
  missingImageTools() ?? (existsSync(`${ROOT}/dist/husk-main.cjs`) ? undefined : 'husk is not built (make build)');
const kills = missing ? test.skip : test;
if (missing) test(`skipped: ${missing}`, (t) => t.pass());

interface Process {
  pid: number;
  command: string;
}

/** Processes whose environment names the folder: husk's by their XDG variables, containers' by what `-e` gave them. */
function processesOf(folder: string): Process[] {
  return readdirSync('/proc').flatMap((name) => {
    if (!/^\d+$/.test(name) || Number(name) === process.pid) return [];
    try {
      if (!readFileSync(`/proc/${name}/environ`, 'latin1').includes(folder)) return [];
      return [
        { pid: Number(name), command: readFileSync(`/proc/${name}/cmdline`, 'latin1').replaceAll('\0', ' ').trim() },
      ];
    } catch {
      return [];
    }
  });
}

async function until(what: () => boolean): Promise<boolean> {
  for (const start = Date.now(); !what(); await sleep(50)) if (Date.now() - start > PATIENCE) return false;
  return true;
}

kills('whatever is killed, ps tells the truth, rm -f cleans, and nothing is left', async (t) => {
  using user = ordinaryUser();
  await using registry = await startRegistry();
  const reference = await registry.push(`oci:${busyboxLayout()}:latest`, 'box:latest');
  t.is(user.husk('pull', '-q', reference).status, 0);
  const kinds = new Set<string>();
  for (let round = 0; round < ROUNDS; round++) {
    const commands = Array.from({ length: CONTAINERS }, (_, index) =>
      user.start(
        [
          HUSK,
          'run',
          '-d',
          '--name',
          `c${round}-${index}`,
          '-e',
          `MARK=${user.home}`,
          '-v',
          '/data',
          ...(index % 2 ? ['--network=none'] : []),
          ...(index % 3 === 2 ? ['--init'] : []),
          ...(index === 4 ? ['--rm'] : []),
          reference,
          'sleep',
          '300',
        ],
        { stdio: 'ignore' },
      ),
    );
    const ended = commands.map((child) => new Promise((resolve) => child.once('exit', resolve)));
    // some of the first kills hit commands at work, the later ones what they started
    await sleep(Math.random() * 600);
    for (let victims = 0; victims < 4; victims++) {
      const alive = processesOf(user.home).filter(({ command }) => command !== '');
      const victim = alive[Math.floor(Math.random() * alive.length)];
      if (victim) {
        kinds.add(victim.command.replace(/^.*(husk-supervisor|husk-init|pasta|sleep|husk.cjs run).*$/, '$1'));
        try {
          process.kill(victim.pid, 'SIGKILL');
        } catch {
          // ended by itself
        }
      }
      await sleep(Math.random() * 300);
    }
    await Promise.all(ended);

    const listed = () =>
      user
        .husk('ps', '-a', '--no-trunc', '--format', '{{.ID}} {{.State}}')
        .stdout.trim()
        .split('\n')
        .filter(Boolean)
        .map((line) => line.split(' ') as [string, string]);
    // a supervisor that noticed a death may still be writing it down
    const settled = await until(() =>
      listed().every(([id, state]) => state !== 'running' || user.husk('exec', id, 'true').status === 0),
    );
    const deaf = () =>
      listed()
        .map(([id, state]) =>
          state === 'running'
            ? `${id} ${user.husk('inspect', '-f', '{{.State.Pid}} {{.Config.Cmd}} {{.HostConfig.Init}}', id).stdout}: ${user.husk('exec', id, 'true').stderr}`
            : state,
        )
        .join('\n');
    t.true(
      settled,
      settled
        ? ''
        : `what is said to run takes an exec\n${deaf()}\nkilled ${[...kinds].join(', ')}\n${processesOf(user.home)
            .map(({ pid, command }) => `${pid} ${command}`)
            .join('\n')}`,
    );
    for (const [id, state] of listed()) {
      t.true(['created', 'running', 'exited'].includes(state), state);
      const { stdout } = user.husk('inspect', '-f', '{{.State.Pid}}', id);
      if (state === 'running') {
        t.true(existsSync(`/proc/${stdout.trim()}`), `${id} runs as ${stdout}`);
        const inside = user.husk('exec', id, 'echo', 'here');
        t.is(inside.stdout, 'here\n', `${inside.status} ${inside.stderr}\n${JSON.stringify(processesOf(user.home))}`);
      } else {
        t.is(stdout.trim(), '0');
        const again = user.husk('start', id);
        t.is(again.status, 0, `a stopped one starts again: ${again.stderr}`);
      }
    }
    const ids = listed().map(([id]) => id);
    if (ids.length > 0) {
      const { status, stderr } = user.husk('rm', '-f', '-v', ...ids);
      t.is(status, 0, stderr);
    }
    t.deepEqual(listed(), []);
    await until(() => processesOf(user.home).length === 0);
    t.deepEqual(processesOf(user.home), [], 'no process is left');
    t.deepEqual(readdirSync(join(user.home, 'data/husk/containers')), [], 'no folder');
    t.deepEqual(readdirSync(join(user.home, 'data/husk/tmp')), [], 'nothing half-made');
    t.deepEqual(
      readdirSync(join(user.home, 'run/husk')).filter((name) => name.endsWith('.sock')),
      [],
      'no socket',
    );
    // those of a command killed before its container's record was written are anonymous and unused: prune finds them
    user.husk('volume', 'prune', '--force');
    t.is(user.husk('volume', 'ls', '-q').stdout, '', 'no volume');
    t.deepEqual(readdirSync(join(user.home, 'data/husk/volumes')), [], 'and no folder of one');
    t.false(readFileSync('/proc/self/mountinfo', 'utf8').includes(user.home), 'no mount');
  }
  t.log(`killed: ${[...kinds].join(', ')}`);
});
