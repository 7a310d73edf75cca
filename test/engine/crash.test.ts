/**
 * Kill anything with SIGKILL at any moment, and the next command shows the truth: random operations in processes of
 * their own, random kills of commands, supervisors and container processes, then the invariants. HUSK_CRASH_ROUNDS sets
 * how many.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'ava';
import { identify } from '../../src/state/process-identity.ts';
import { random } from '../fixtures/random.ts';
import { openTestEngine, type TestEngine } from './fixture.ts';

const ROUNDS = Number(process.env['HUSK_CRASH_ROUNDS'] ?? 60);
const NAMES = ['one-c', 'two-c', 'three-c'];
const OPERATIONS = ['run', 'run', 'run rm', 'start', 'stop', 'remove', 'list'];

/** ms for what dies with a killed supervisor, and for one on its way out */
const PATIENCE = 60_000;

const sleep = (ms: number) => new Promise((after) => setTimeout(after, ms));

/** pids whose environment names this data root: its supervisors and containers, whoever started them */
function processesOf(dataRoot: string): { pid: number; command: string }[] {
  return readdirSync('/proc').flatMap((name) => {
    if (!/^\d+$/.test(name) || Number(name) === process.pid) return [];
    try {
      if (!readFileSync(`/proc/${name}/environ`, 'latin1').includes(dataRoot)) return [];
      return [{ pid: Number(name), command: readFileSync(`/proc/${name}/cmdline`, 'latin1').replaceAll('\0', ' ') }];
    } catch {
      return [];
    }
  });
}

function killed(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch {
    // gone already
  }
}

/** none where every command that would have made the folder was killed before */
const names = (folder: string): string[] => (existsSync(folder) ? readdirSync(folder) : []);

async function settle(fixture: TestEngine): Promise<void> {
  // commands that were not killed are done
  for (const start = Date.now(); Date.now() - start < PATIENCE;) {
    const alive = fixture.engine.list({ all: true }).filter(({ state }) => state.status === 'running').length;
    const claims = fixture.engine.list({ all: true }).filter(({ state }) => state.claim).length;
    if (claims === 0 && processesOf(fixture.dataRoot).length === alive * 2) return;
    await sleep(50);
  }
}

test('kill -9 at random moments leaves no lie behind', async (t) => {
  const fixture = await openTestEngine(t);
  const { engine, dataRoot, paths } = fixture;
  const seed = Number(process.env['HUSK_CRASH_SEED'] ?? Math.floor(Math.random() * 2 ** 31));
  const dice = random(seed);
  const pick = <T>(items: T[]): T => items[Math.floor(dice() * items.length)]!;
  t.log(`HUSK_CRASH_SEED=${seed}`);
  for (let round = 0; round < ROUNDS; round++) {
    const batch = Array.from({ length: 1 + Math.floor(dice() * 2) }, () => {
      const [operation = '', ...rest] = pick(OPERATIONS).split(' ');
      const child = spawn(
        process.execPath,
        [
          '--disable-warning=ExperimentalWarning',
          join(import.meta.dirname, 'crash-worker.ts'),
          dataRoot,
          operation,
          pick(NAMES),
          ...rest,
        ],
        { stdio: ['ignore', 'ignore', 'pipe'] },
      );
      let stderr = '';
      child.stderr.on('data', (chunk: Buffer) => (stderr += chunk.toString()));
      return { child, closed: once(child, 'close'), stderr: () => stderr };
    });
    // a worker of this kind lives some 200 to 400 ms
    await sleep(dice() * 400);
    const victims = dice();
    if (victims < 0.4) killed(pick(batch).child.pid!);
    else if (victims < 0.9) {
      const processes = processesOf(dataRoot).filter(({ command }) => /fake-supervisor|sleep/.test(command));
      if (processes.length > 0) killed(pick(processes).pid);
    }
    await Promise.all(batch.map(({ closed }) => closed));
    for (const { child, stderr } of batch)
      if (child.signalCode !== 'SIGKILL') t.is(child.exitCode, 0, `round ${round}: ${stderr()}`);
    if (round % 5 !== 4) continue;
    await settle(fixture);
    const containers = engine.list({ all: true });
    const where = `round ${round}, seed ${seed}`;
    t.is(new Set(containers.map(({ name }) => name)).size, containers.length, `${where}: names are unique`);
    for (const { id, state } of containers) {
      t.true(['created', 'running', 'exited'].includes(state.status), `${where}: ${state.status}`);
      t.is(state.claim, undefined, `${where}: nobody's claim`);
      if (state.status === 'running') {
        t.not(identify(state.pid), undefined, `${where}: a running container has a process`);
        t.true(existsSync(paths.socket(id)), `${where}: and a socket`);
      } else t.is(state.pid, 0);
    }
    t.deepEqual(
      names(paths.containers).filter((id) => !containers.some((container) => container.id === id)),
      [],
      `${where}: no folder without a record`,
    );
    const running = containers.filter(({ state }) => state.status === 'running');
    const left = processesOf(dataRoot);
    t.is(
      left.length,
      running.length * 2,
      `${where}: a supervisor and a process each, nothing else: ${JSON.stringify(left)}`,
    );
  }
  for (const { id } of engine.list({ all: true })) await engine.remove(id, { force: true });
  t.deepEqual(names(paths.containers), []);
  t.deepEqual(names(paths.tmp), []);
  for (const start = Date.now(); processesOf(dataRoot).length > 0 && Date.now() - start < PATIENCE;) await sleep(20);
  t.deepEqual(processesOf(dataRoot), []);
});
