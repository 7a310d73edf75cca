/**
 * The few hundred command lines of test/peer/script/*.sh, each run by a shell under user namespaces and under VMs, in data roots of their own, one after the
 * other: exit code, standard output and errors must agree once ids and times are taken out. A VM is a boot of the test host's slow machine away, so waits
 * between commands are longer there. An hour for all of it, so it runs on demand: HUSK_SCRIPT_SECTIONS=REGEX, the sections whose titles match, in one data root.
 */
import { spawn } from 'node:child_process';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'ava';
import { clean, readScript, shell, workplace, wrapper, type Line } from '../peer/script-lines.ts';
import { finished, Home, type Result } from './home.ts';
import { missingParts, onKvmHost, root } from './kvm-host.ts';

const SCRIPTS = ['containers', 'storage'];
/** of a moment between two commands, in a VM of the test host */
const SLOWER = 12;
/** ms a line has; those with several containers boot several machines */
const TIMEOUT = 240_000;
const LIMIT = 5400;

const SECTIONS = process.env['HUSK_SCRIPT_SECTIONS'];
const missing = missingParts() ?? (SECTIONS === undefined ? 'an hour of booting machines: HUSK_SCRIPT_SECTIONS=. runs it' : undefined);
if (missing !== undefined) test.skip(missing, () => {});
else await onKvmHost(import.meta.url, register, { seconds: LIMIT, env: { HUSK_SCRIPT_SECTIONS: SECTIONS! } });

/** One isolation's data root and folder. */
class Place {
  readonly home = new Home();
  readonly #env: NodeJS.ProcessEnv;

  constructor(isolation: 'userns' | 'vm') {
    const { home } = this;
    mkdirSync(home.path('config/husk'), { recursive: true });
    writeFileSync(home.path('config/husk/config.json'), JSON.stringify({ 'default-isolation': isolation }));
    home.must('tag', 'husk/base', 'box');
    home.must('rmi', 'husk/base');
    this.#env = workplace({ home: home.folder, uid: process.getuid!(), gid: process.getgid!(), env: home.env }, 'work', wrapper(join(root, 'bin/husk')));
    if (isolation === 'vm') writeFileSync(home.path('work/bin/sleep'), `#!/bin/sh\nexec /bin/sleep "$(echo "$1" | awk '{ print $1 * ${SLOWER} }')"\n`, { mode: 0o755 });
  }

  /** each place's folder has another name */
  async run(line: string): Promise<Result> {
    const { status, stdout, stderr } = await finished(spawn('sh', shell(line).slice(1), { env: this.#env, stdio: 'pipe', timeout: TIMEOUT }), '');
    const plain = (text: string) => text.replaceAll(this.home.folder, '~');
    return { status, stdout: plain(stdout), stderr: plain(stderr) };
  }
}

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
        const problem = compared(line, here, there, known);
        if (problem === undefined) continue;
        wrong.push(`${name}.sh:${line.number}: ${line.command}\n  ${problem}\n--- userns ${here.status}\n${here.stdout}${here.stderr}--- vm ${there.status}\n${there.stdout}${there.stderr}`);
        console.log(wrong.at(-1));
      }
      t.deepEqual([...(await userns.home.end()), ...(await vm.home.end())], []);
      if (wrong.length > 0) t.fail(`${wrong.length} differ: ${wrong.join('\n\n')}`);
    });
  }
}

/** @returns what is wrong, if anything */
function compared({ vmDiffers }: Line, here: Result, there: Result, known: string): string | undefined {
  if (there.status === null || /internal error|^\s+at /m.test(there.stderr)) return 'husk failed within';
  const agrees = here.status === there.status && clean(here.stdout) === clean(there.stdout) && clean(here.stderr) === clean(there.stderr);
  if (vmDiffers === undefined) return agrees ? undefined : 'the isolations differ';
  if (agrees) return `a VM no longer differs: ${vmDiffers}`;
  return known.includes(vmDiffers) ? undefined : `docs/differences.md does not mention "${vmDiffers}"`;
}
