/** Where lines of test/peer/script run under one isolation, for tests in the test host. */
import { spawn, type ChildProcess } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { shell, workplace, wrapper } from '../peer/script-lines.ts';
import { finished, Home, type Result } from './home.ts';
import { root } from './parts.ts';

/** of a moment between two commands, in a VM of the test host */
const SLOWER = 12;
/** ms a line has; those with several containers boot several machines */
const TIMEOUT = 240_000;

/** One isolation's data root and folder, in which the lines run. */
export class Place {
  readonly home = new Home();
  readonly #env: NodeJS.ProcessEnv;

  constructor(isolation: 'userns' | 'vm') {
    const { home } = this;
    mkdirSync(home.path('config/husk'), { recursive: true });
    writeFileSync(home.path('config/husk/config.json'), JSON.stringify({ 'default-isolation': isolation }));
    home.must('tag', 'husk/base', 'box');
    home.must('rmi', 'husk/base');
    this.#env = workplace(
      { home: home.folder, uid: process.getuid!(), gid: process.getgid!(), env: home.env },
      'work',
      wrapper(join(root, 'bin/husk')),
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
