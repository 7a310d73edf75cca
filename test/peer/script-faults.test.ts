/**
 * kill -9 of the command, its supervisor or its container's processes at a random moment of the lines of test/peer/script: afterwards `ps` tells the truth, the state is
 * whole, everything can be removed, and nothing is left. HUSK_FAULT_LINES sets how many lines (all: 0), HUSK_FAULT_SEED repeats a run.
 */
import { once } from 'node:events';
import { readdirSync, readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import test from 'ava';
import { busyboxLayout, missingImageTools, startRegistry } from '../fixtures/images.ts';
import { random } from '../fixtures/random.ts';
import { HUSK, ordinaryUser } from '../fixtures/user.ts';
import { missingBuild } from './peers.ts';
import { readScript, shell, workplace, wrapper } from './script-lines.ts';

const LINES = Number(process.env['HUSK_FAULT_LINES'] ?? 40);
const SEED = Number(process.env['HUSK_FAULT_SEED'] ?? Math.floor(Math.random() * 2 ** 31));
/** ms: most commands have done their work by then */
const LATEST_KILL = 350;
/** ms a line may take after something of it was killed; then it is ended */
const PATIENCE = 20_000;

/** husk's own processes and containers' of this user's folder, but for shells and what the lines pipe through */
function victims(home: string): number[] {
  return readdirSync('/proc').flatMap((name) => {
    if (!/^\d+$/.test(name) || Number(name) === process.pid) return [];
    try {
      if (!readFileSync(`/proc/${name}/environ`, 'latin1').includes(home)) return [];
      return /husk|node/.test(readFileSync(`/proc/${name}/cmdline`, 'latin1')) ? [Number(name)] : [];
    } catch {
      return [];
    }
  });
}

function kill(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch {
    // gone already
  }
}

const missing = missingImageTools() ?? missingBuild();
if (missing) test.skip(`needs ${missing}`, () => {});
else
  test(`whatever is killed in the middle of a line, the state stays whole (HUSK_FAULT_SEED=${SEED})`, async (t) => {
    t.timeout(20 * 60_000);
    using user = ordinaryUser();
    const env = workplace(user, 'work', wrapper(HUSK));
    await using registry = await startRegistry();
    const reference = await registry.push(`oci:${busyboxLayout()}:latest`, 'box:latest');
    const husk = (...args: string[]) => user.husk(...args);
    t.is(husk('pull', '-q', reference).status, 0);
    t.is(husk('tag', reference, 'box').status, 0);
    const dice = random(SEED);
    const all = [...readScript('containers'), ...readScript('storage')];
    const chosen = LINES === 0 ? all : Array.from({ length: LINES }, () => all[Math.floor(dice() * all.length)]!);
    for (const { command } of chosen) {
      const child = user.start(shell(command), { env, stdio: 'ignore', detached: true });
      const ended = once(child, 'exit');
      await sleep(dice() * LATEST_KILL);
      const alive = victims(user.home);
      const victim = alive[Math.floor(dice() * alive.length)];
      if (victim !== undefined) kill(victim);
      const late = setTimeout(() => kill(-child.pid!), PATIENCE);
      await ended;
      clearTimeout(late);
      const { status, stderr } = husk('ps', '-a');
      t.is(status, 0, `ps after ${command}: ${stderr}`);
    }
    const check = husk('system', 'check');
    t.is(check.status, 0, `system check: ${check.stdout}${check.stderr}`);
    if (husk('image', 'inspect', 'box').status !== 0) t.is(husk('pull', '-q', reference).status, 0);
    const names = husk('ps', '-aq').stdout.split('\n').filter(Boolean);
    if (names.length > 0) t.is(husk('rm', '-f', ...names).status, 0);
    t.is(husk('run', '--rm', '--network=none', reference, 'echo', 'still works').stdout, 'still works\n');
    t.is(husk('volume', 'prune', '-af').status, 0);
    t.deepEqual([husk('ps', '-aq').stdout, husk('volume', 'ls', '-q').stdout], ['', '']);
    for (let patience = 0; patience < 600 && victims(user.home).length > 0; patience++) await sleep(100);
    t.deepEqual(victims(user.home).map((pid) => readFileSync(`/proc/${pid}/cmdline`, 'latin1')), []);
  });
