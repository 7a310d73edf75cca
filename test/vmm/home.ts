/**
 * A husk of its own for tests of whole VM containers on a real KVM: data root, config, runtime folder, the image
 * husk/base; and what it may leave: nothing.
 */
import { spawn, spawnSync, type ChildProcessWithoutNullStreams } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { vmStart } from '../fixtures/vm-start.ts';
import { BASE, root } from './parts.ts';

const HUSK = join(root, 'bin/husk');
/** ms; a boot in the test host takes 10 s, and longer beside others */
export const TIMEOUT = 300_000;

export interface Result {
  status: number | null;
  stdout: string;
  stderr: string;
}

export class Home implements Disposable {
  readonly folder: string;
  readonly env: NodeJS.ProcessEnv;

  /** @param above where its folder is made */
  constructor(above = tmpdir()) {
    this.folder = mkdtempSync(join(above, 'husk-vm-'));
    this.env = {
      ...process.env,
      XDG_DATA_HOME: join(this.folder, 'data'),
      XDG_CONFIG_HOME: join(this.folder, 'config'),
    };
    this.configure({});
    this.must(
      'import',
      '--change',
      'CMD ["/bin/sh"]',
      '--change',
      'ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin',
      BASE,
      'husk/base',
    );
  }

  /** Writes husk's config file: these settings, beside how the tests' machines come up. */
  configure(settings: object): void {
    this.write('config/husk/config.json', JSON.stringify({ ...vmStart, ...settings }));
  }

  husk(...args: string[]): Result {
    return this.fed('', ...args);
  }

  fed(input: string | Buffer, ...args: string[]): Result {
    const { status, stdout, stderr } = spawnSync(HUSK, args, {
      env: this.env,
      encoding: 'latin1',
      input,
      timeout: TIMEOUT,
      maxBuffer: 1 << 28,
    });
    return { status, stdout, stderr };
  }

  /** As `fed`, beside others */
  feed(input: string | Buffer, ...args: string[]): Promise<Result> {
    return this.feedWithin(TIMEOUT, input, ...args);
  }

  /** @param timeout ms */
  feedWithin(timeout: number, input: string | Buffer, ...args: string[]): Promise<Result> {
    return finished(spawn(HUSK, args, { env: this.env, stdio: 'pipe', timeout }), input);
  }

  /** @returns its output, trimmed. @throws when it fails */
  must(...args: string[]): string {
    const { status, stdout, stderr } = this.husk(...args);
    if (status !== 0) throw new Error(`husk ${args.join(' ')} ended with ${status}: ${stderr}`);
    return stdout.trim();
  }

  /** `run --isolation=vm --network none` */
  run(...args: string[]): Result {
    return this.husk('run', '--isolation=vm', '--network', 'none', ...args);
  }

  path(...names: string[]): string {
    return join(this.folder, ...names);
  }

  /** a file of the host's, its folder made */
  write(name: string, content: string): string {
    const path = this.path(name);
    mkdirSync(join(path, '..'), { recursive: true });
    writeFileSync(path, content);
    return path;
  }

  read(name: string): string {
    return readFileSync(this.path(name), 'utf8');
  }

  exists(name: string): boolean {
    return existsSync(this.path(name));
  }

  make(name: string): string {
    mkdirSync(this.path(name), { recursive: true });
    return this.path(name);
  }

  remove(name: string): void {
    rmSync(this.path(name), { recursive: true, force: true });
  }

  /** supervisors of this machine */
  supervisors(): string[] {
    return supervisors();
  }

  /** Ends what is left. @returns supervisors that are there all the same */
  async end(): Promise<string[]> {
    const left = await this.endContainers();
    this[Symbol.dispose]();
    return left;
  }

  /** @returns supervisors that are there all the same */
  async endContainers(): Promise<string[]> {
    const all = this.husk('ps', '-aq')
      .stdout.split('\n')
      .filter((id) => id !== '');
    if (all.length > 0) this.husk('rm', '-f', ...all);
    return supervisorsLeft();
  }

  /** A maker of a template that is still at work writes into the folder while it goes. */
  [Symbol.dispose](): void {
    rmSync(this.folder, { recursive: true, force: true, maxRetries: 10 });
  }
}

/** ms a supervisor has to be gone after its container's end was recorded */
const EXIT_PATIENCE = 30_000;

function supervisors(): string[] {
  return readdirSync('/proc').filter((pid) => /^\d+$/.test(pid) && /husk-supervisor/.test(commandLine(pid)));
}

/** Those that do not end: one whose container's end is recorded is still on its way out for a moment. */
export async function supervisorsLeft(): Promise<string[]> {
  for (const start = Date.now(); supervisors().length > 0 && Date.now() - start < EXIT_PATIENCE;) await sleep(50);
  return supervisors();
}

/** What a child that is fed `input` says, once it has ended. */
export function finished(child: ChildProcessWithoutNullStreams, input: string | Buffer): Promise<Result> {
  return new Promise((resolve, reject) => {
    const output = { stdout: '', stderr: '' };
    for (const name of ['stdout', 'stderr'] as const)
      child[name].setEncoding('latin1').on('data', (text: string) => (output[name] += text));
    // it may end before it has read everything
    child.stdin.on('error', () => {}).end(input);
    child.on('error', reject).on('close', (status) => resolve({ status, ...output }));
  });
}

export function commandLine(pid: string): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'latin1');
  } catch {
    return '';
  }
}
