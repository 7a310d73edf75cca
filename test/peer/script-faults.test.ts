/**
 * kill -9 of the command, its supervisor or its container's processes at a random moment of the lines of
 * test/peer/script: afterwards `ps` tells the truth, the state is whole, everything can be removed, and nothing is
 * left. HUSK_FAULT_LINES sets how many lines (all: 0), HUSK_FAULT_SEED repeats a run.
 */
import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import test from 'ava';
import { busyboxLayout, missingImageTools, startRegistry } from '../fixtures/images.ts';
import { attack, processesNaming, stateIsWhole } from '../fixtures/faults.ts';
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
      await attack(command, {
        start: (line) => user.start(shell(line), { env, stdio: 'ignore', detached: true }),
        victims: () => processesNaming(user.home),
        dice,
        moment: () => dice() * LATEST_KILL,
        patience: PATIENCE,
      });
      const { status, stderr } = husk('ps', '-a');
      t.is(status, 0, `ps after ${command}: ${stderr}`);
    }
    stateIsWhole(t, husk, 'box', () => {
      t.is(husk('pull', '-q', reference).status, 0);
      t.is(husk('tag', reference, 'box').status, 0);
    });
    for (let patience = 0; patience < 600 && processesNaming(user.home).length > 0; patience++) await sleep(100);
    t.deepEqual(
      processesNaming(user.home).map((pid) => readFileSync(`/proc/${pid}/cmdline`, 'latin1')),
      [],
    );
  });
