/**
 * Who runs containers on networks in tests: an ordinary user and, where the tests run as root, root with a home of its
 * own.
 */
import { spawn, spawnSync, type ChildProcess } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { HUSK, ordinaryUser, TIMEOUT, type Result } from '../../fixtures/user.ts';

export interface Person extends Disposable {
  readonly name: string;
  readonly dataRoot: string;
  run(command: string[], options?: { input?: string | Buffer }): Result;
  husk(...args: string[]): Result;
  start(command: string[]): ChildProcess;
}

export function people(): Person[] {
  const user = ordinaryUser();
  const ordinary: Person = {
    name: 'user',
    dataRoot: join(user.home, 'data/husk'),
    run: (command, options) => user.run(command, options),
    husk: (...args) => user.husk(...args),
    start: (command) => user.start(command, { stdio: ['ignore', 'pipe', 'ignore'] }),
    [Symbol.dispose]: () => user[Symbol.dispose](),
  };
  return process.getuid!() === 0 ? [ordinary, root()] : [ordinary];
}

function root(): Person {
  const home = mkdtempSync('/var/tmp/husk-root-');
  for (const folder of ['run', 'data', 'config/husk']) mkdirSync(join(home, folder), { recursive: true, mode: 0o700 });
  writeFileSync(join(home, 'config/husk/config.json'), '{ "default-isolation": "userns" }');
  const env = {
    PATH: '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin',
    HOME: home,
    XDG_RUNTIME_DIR: join(home, 'run'),
    XDG_DATA_HOME: join(home, 'data'),
    XDG_CONFIG_HOME: join(home, 'config'),
  };
  const run: Person['run'] = ([program, ...args], { input = '' } = {}) =>
    spawnSync(program!, args, { cwd: home, env, input, encoding: 'utf8', maxBuffer: 1 << 28, timeout: TIMEOUT });
  return {
    name: 'root',
    dataRoot: join(home, 'data/husk'),
    run,
    husk: (...args) => run([HUSK, ...args]),
    start: ([program, ...args]) => spawn(program!, args, { cwd: home, env, stdio: ['ignore', 'pipe', 'ignore'] }),
    [Symbol.dispose]: () => rmSync(home, { recursive: true, force: true, maxRetries: 10, retryDelay: 100 }),
  };
}
