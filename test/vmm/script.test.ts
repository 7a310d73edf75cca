/**
 * The few hundred command lines of test/peer/script/*.sh, each run by a shell under user namespaces and under VMs, in
 * data roots of their own, one after the other: exit code, standard output and errors must agree once ids and times are
 * taken out. A VM is a boot of the test host's slow machine away, so waits between commands are longer there. An hour
 * for all of it, so it runs on demand: HUSK_SCRIPT_SECTIONS=REGEX, the sections whose titles match, in one data root.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'ava';
import { readScript } from '../peer/script-lines.ts';
import { missingParts, onKvmHost, root } from './kvm-host.ts';
import { compared, Place } from './place.ts';

const SCRIPTS = ['containers', 'storage'];
const LIMIT = 5400;

const SECTIONS = process.env['HUSK_SCRIPT_SECTIONS'];
const missing =
  missingParts() ??
  (SECTIONS === undefined ? 'an hour of booting machines: HUSK_SCRIPT_SECTIONS=. runs it' : undefined);
if (missing !== undefined) test.skip(missing, () => {});
else await onKvmHost(import.meta.url, register, { seconds: LIMIT, env: { HUSK_SCRIPT_SECTIONS: SECTIONS! } });

function register(): void {
  const sections = new RegExp(SECTIONS!);
  const known = readFileSync(join(root, 'docs/differences.md'), 'utf8');
  for (const name of SCRIPTS) {
    const lines = readScript(name).filter(({ section }) => sections.test(section));
    if (lines.length === 0) continue;
    test.serial(`${name}: ${lines.length} command lines`, async (t) => {
      t.timeout(LIMIT * 1000);
      const [userns, vm] = [new Place('userns'), new Place('vm')];
      const wrong: string[] = [];
      for (const line of lines) {
        const [here, there] = await Promise.all([userns.run(line.command), vm.run(line.command)]);
        const problem = compared(line, { here, there, known });
        if (problem === undefined) continue;
        wrong.push(
          `${name}.sh:${line.number}: ${line.command}\n  ${problem}\n--- userns ${here.status}\n${here.stdout}${here.stderr}--- vm ${there.status}\n${there.stdout}${there.stderr}`,
        );
        console.log(wrong.at(-1));
      }
      t.deepEqual([...(await userns.home.end()), ...(await vm.home.end())], []);
      if (wrong.length > 0) t.fail(`${wrong.length} differ: ${wrong.join('\n\n')}`);
    });
  }
}
