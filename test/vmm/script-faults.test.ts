/**
 * kill -9 of the command, its supervisor (the VMM is in it) or the agent in the guest at a random moment of lines of test/peer/script under VMs: afterwards `ps` tells
 * the truth, the state is whole, everything can be removed, and nothing is left. A line is a boot of the test host's slow machine or more, so it runs on
 * demand: HUSK_VM_FAULT_LINES sets how many lines, HUSK_FAULT_SEED repeats a run.
 */
import { readdirSync, readFileSync } from 'node:fs';
import test from 'ava';
import { attack, stateIsWhole } from '../fixtures/faults.ts';
import { random } from '../fixtures/random.ts';
import { readScript } from '../peer/script-lines.ts';
import { commandLine } from './home.ts';
import { BASE } from './parts.ts';
import { missingParts, onKvmHost } from './kvm-host.ts';
import { Place } from './place.ts';
import { signalAgent } from './signal-agent.ts';

const LINES = Number(process.env['HUSK_VM_FAULT_LINES'] ?? 0);
const SEED = Number(process.env['HUSK_FAULT_SEED'] ?? Math.floor(Math.random() * 2 ** 31));
/** ms: a boot takes 15 s in the test host. Half of the kills come in the first quarter: many lines boot nothing */
const LATEST_KILL = 30_000;
/** ms a line may take after something of it was killed; then it is ended */
const PATIENCE = 120_000;
/** seconds a line takes at most on average */
const SECONDS_A_LINE = 60;

const missing = missingParts() ?? (LINES === 0 ? 'half a minute of booting machines a line: HUSK_VM_FAULT_LINES=100 runs 100 of them' : undefined);
if (missing !== undefined) test.skip(missing, () => {});
else await onKvmHost(import.meta.url, register, { seconds: 300 + LINES * SECONDS_A_LINE, env: { HUSK_VM_FAULT_LINES: String(LINES), HUSK_FAULT_SEED: String(SEED) } });

function register(): void {
  test(`whatever is killed in the middle of a line, the state stays whole (HUSK_FAULT_SEED=${SEED})`, async (t) => {
    t.timeout((300 + LINES * SECONDS_A_LINE) * 1000);
    const place = new Place('vm');
    const { home } = place;
    const husk = (...args: string[]) => home.husk(...args);
    const dice = random(SEED);
    const all = [...readScript('containers'), ...readScript('storage')];
    const done = { agents: 0, processes: 0 };
    const victims = () => {
      const alive = [...commandsOf(home.folder), ...home.supervisors().map(Number)];
      if (alive.length > 0) done.processes++;
      return alive;
    };
    const instead = async () => {
      const [name] = husk('ps', '-q', '--filter', 'status=running').stdout.split('\n');
      if (!name) return false;
      await home.feed('', 'exec', '--privileged', name, 'sh', '-c', `mount -o remount,rw /proc/sys; ${signalAgent('KILL')}`);
      done.agents++;
      return true;
    };
    // one after another, so that a line finds what those before it made
    const first = Math.floor(dice() * all.length);
    for (let count = 1; count <= LINES; count++) {
      const { command } = all[(first + count) % all.length]!;
      await attack(command, { start: (line) => place.start(line), victims, instead, dice, moment: () => dice() ** 2 * LATEST_KILL, patience: PATIENCE });
      const { status, stderr } = husk('ps', '-a');
      t.is(status, 0, `ps after ${command}: ${stderr}`);
      if (count % 10 === 0) console.log(`${count} lines, ${done.agents} agents and ${done.processes} processes killed`);
    }
    stateIsWhole(t, husk, 'box', () => {
      home.must('import', '--change', 'CMD ["/bin/sh"]', BASE, 'box');
    });
    t.deepEqual(home.end(), []);
    t.true(done.agents + done.processes > LINES / 4, JSON.stringify(done));
  });
}

/** Commands of husk's that name this folder in their environment. A supervisor's cannot be read. */
function commandsOf(folder: string): number[] {
  return readdirSync('/proc').flatMap((name) => {
    if (!/^\d+$/.test(name) || Number(name) === process.pid) return [];
    try {
      return readFileSync(`/proc/${name}/environ`, 'latin1').includes(folder) && /husk|node/.test(commandLine(name)) ? [Number(name)] : [];
    } catch {
      return [];
    }
  });
}
