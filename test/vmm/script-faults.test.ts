/**
 * kill -9 of the command, its supervisor (the VMM is in it) or the agent in the guest at a random moment of lines of
 * test/peer/script under VMs: afterwards `ps` tells the truth, the state is whole, everything can be removed, and
 * nothing is left. A line is a boot of the test host's slow machine or more, so it runs on demand: HUSK_VM_FAULT_LINES
 * sets how many lines, HUSK_FAULT_SEED repeats a run.
 */
import test from 'ava';
import { attack, processesNaming, stateIsWhole } from '../fixtures/faults.ts';
import { random } from '../fixtures/random.ts';
import { readScript } from '../peer/script-lines.ts';
import { BASE } from './parts.ts';
import { missingParts, onKvmHost } from './kvm-host.ts';
import { Place } from './place.ts';
import { signalAgent } from './signal-agent.ts';

const LINES = Number(process.env['HUSK_VM_FAULT_LINES'] ?? 0);
const SEED = Number(process.env['HUSK_FAULT_SEED'] ?? Math.floor(Math.random() * 2 ** 31));
/** ms within which something is killed: a boot takes 15 s in the test host, a command that boots nothing 2 s */
const LATEST_KILL = { boots: 25_000, other: 3_000 };
const BOOTS = /docker (container )?(run|start|restart)\b/;
/**
 * containers of the script's that run all the time, so that lines have what they ask for, and something to kill;
 * privileged, so that their agents can be reached
 */
const RUNNING = ['bg', 'files', 'busy'];
/** ms a line may take after something of it was killed; then it is ended */
const PATIENCE = 120_000;
/** seconds a line takes at most on average */
const SECONDS_A_LINE = 60;

const missing =
  missingParts() ??
  (LINES === 0 ? 'half a minute of booting machines a line: HUSK_VM_FAULT_LINES=100 runs 100 of them' : undefined);
if (missing !== undefined) test.skip(missing, () => {});
else
  await onKvmHost(import.meta.url, register, {
    seconds: 300 + LINES * SECONDS_A_LINE,
    env: { HUSK_VM_FAULT_LINES: String(LINES), HUSK_FAULT_SEED: String(SEED) },
  });

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
      const kinds = [processesNaming(home.folder), home.supervisors().map(Number)].filter((pids) => pids.length > 0);
      if (kinds.length > 0) done.processes++;
      return kinds[Math.floor(dice() * kinds.length)] ?? [];
    };
    const instead = async () => {
      const names = husk('ps', '--format', '{{.Names}}')
        .stdout.split('\n')
        .filter((name) => RUNNING.includes(name));
      const name = names[Math.floor(dice() * names.length)];
      if (name === undefined) return false;
      const { stderr } = await home.feed(
        '',
        'exec',
        '--privileged',
        name,
        'sh',
        '-c',
        `${signalAgent('KILL')}; sleep 10`,
      );
      if (/virtual machine|supervisor/.test(stderr)) done.agents++;
      else console.log(`the agent was not killed: ${stderr}`);
      return true;
    };
    for (let count = 1; count <= LINES; count++) {
      for (const name of RUNNING) {
        if (husk('start', name).status === 0) continue;
        await place.run(
          all
            .find(({ command }) => command.startsWith(`docker run -d --name ${name} `))!
            .command.replace('-d', '-d --privileged'),
        );
      }
      const { command } = all[Math.floor(dice() * all.length)]!;
      const latest = BOOTS.test(command) ? LATEST_KILL.boots : LATEST_KILL.other;
      await attack(command, {
        start: (line) => place.start(line),
        victims,
        instead,
        dice,
        moment: () => dice() * latest,
        patience: PATIENCE,
      });
      const { status, stderr } = husk('ps', '-a');
      t.is(status, 0, `ps after ${command}: ${stderr}`);
      if (count % 10 === 0) console.log(`${count} lines, ${done.agents} agents and ${done.processes} processes killed`);
    }
    stateIsWhole(t, husk, 'box', () => {
      home.must('import', '--change', 'CMD ["/bin/sh"]', BASE, 'box');
    });
    t.deepEqual(await home.end(), []);
    t.true(done.agents + done.processes > LINES / 4, JSON.stringify(done));
  });
}
