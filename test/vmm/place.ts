/** Where lines of scripts run under one isolation, for tests in the test host, and how two of them compare. */
import { spawn, type ChildProcess } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { clean, shell, workplace, wrapper, type Line } from '../peer/script-lines.ts';
import { finished, Home, type Result } from './home.ts';
import { root } from './parts.ts';

/** of a moment between two commands, in a VM of the test host */
const SLOWER = 12;
/**
 * ms a line has, for what hangs: those with several containers boot several machines, each four minutes where a host is
 * busy
 */
const TIMEOUT = 1_200_000;

/** One isolation's data root and folder, in which the lines run. */
export class Place {
  readonly home = new Home();
  readonly #env: NodeJS.ProcessEnv;

  /** @param program what lines call `docker`, in words of a shell */
  constructor(isolation: 'userns' | 'vm', program = join(root, 'bin/husk')) {
    const { home } = this;
    home.configure({ 'default-isolation': isolation });
    home.must('tag', 'husk/base', 'box');
    home.must('rmi', 'husk/base');
    this.#env = workplace(
      { home: home.folder, uid: process.getuid!(), gid: process.getgid!(), env: home.env },
      'work',
      wrapper(program),
    );
    if (isolation === 'vm')
      writeFileSync(
        home.path('work/bin/sleep'),
        `#!/bin/sh\nexec /bin/sleep "$(echo "$1" | awk '{ print $1 * ${SLOWER} }')"\n`,
        { mode: 0o755 },
      );
  }

  /** each place's folder has another name */
  async run(line: string): Promise<Result> {
    const { status, stdout, stderr } = await finished(
      spawn('sh', shell(line).slice(1), { env: this.#env, stdio: 'pipe', timeout: TIMEOUT }),
      '',
    );
    const plain = (text: string) => text.replaceAll(this.home.folder, '~');
    return { status, stdout: plain(stdout), stderr: plain(stderr) };
  }

  /** The line in a shell that leads a process group of its own; nobody reads what it says. */
  start(line: string): ChildProcess {
    return spawn('sh', shell(line).slice(1), { env: this.#env, stdio: 'ignore', detached: true });
  }
}

/**
 * @param known docs/differences.md, which has the reason of a line that differs
 * @returns what is wrong of a line's results under user namespaces and in a VM, if anything
 */
export function compared(
  { vmDiffers }: Line,
  { here, there, known }: { here: Result; there: Result; known: string },
): string | undefined {
  if (there.status === null || /internal error|^\s+at /m.test(there.stderr)) return 'husk failed within';
  const agrees =
    here.status === there.status &&
    clean(here.stdout) === clean(there.stdout) &&
    clean(here.stderr) === clean(there.stderr);
  if (vmDiffers === undefined) return agrees ? undefined : 'the isolations differ';
  if (agrees) return `a VM no longer differs: ${vmDiffers}`;
  return known.includes(vmDiffers) ? undefined : `docs/differences.md does not mention "${vmDiffers}"`;
}
