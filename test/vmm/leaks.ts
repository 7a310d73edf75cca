/**
 * Starts and stops VM containers one after another and counts what is there before and after: processes, open files of the whole system, mounts,
 * cgroups, files of the data root, memory. `node test/vmm/leaks.ts COUNT` in the test host as an ordinary user prints the figures; leaks.test.ts asks the
 * same for a few starts, where a leak of one of anything a start is seen.
 */
import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

const ROOT = join(import.meta.dirname, '../..');
/** the copy on tmpfs that the test host makes for speed, else this checkout's */
const HUSK = join(existsSync('/var/tmp/husk-copy/bin/husk') ? '/var/tmp/husk-copy' : ROOT, 'bin/husk');
const BASE = join(ROOT, 'build/base.tar');
/** ms; a boot in the test host takes 10 s */
const TIMEOUT = 120_000;

export interface Census {
  /** of this user */
  processes: number;
  /** open files of the whole system, /proc/sys/fs/file-nr */
  files: number;
  mounts: number;
  /** below the delegated folder */
  cgroups: number;
  /** in the data root and the runtime folder, but for the database's own */
  paths: string[];
  dataBytes: number;
  availableKib: number;
}

export class Home implements Disposable {
  readonly folder = mkdtempSync(join(tmpdir(), 'husk-leaks-'));
  readonly env = { ...process.env, XDG_DATA_HOME: join(this.folder, 'data'), XDG_CONFIG_HOME: join(this.folder, 'config') };

  constructor() {
    this.husk('import', '--change', 'CMD ["/bin/sh"]', BASE, 'husk/base');
  }

  husk(...args: string[]): string {
    const { status, stdout, stderr } = spawnSync(HUSK, args, { env: this.env, encoding: 'utf8', timeout: TIMEOUT });
    if (status !== 0) throw new Error(`husk ${args.join(' ')} ended with ${status}: ${stderr}`);
    return stdout.trim();
  }

  /** A VM container that says who it is and ends; every second is stopped instead. */
  async once(number: number): Promise<void> {
    const name = `c${number}`;
    const shared = ['-v', `${this.folder}:/mnt:ro`, '-v', `${BASE}:/base.tar:ro`];
    if (number % 2 === 0) {
      const said = this.husk('run', '--rm', '--name', name, '--isolation=vm', '--network', 'none', ...shared, 'husk/base', 'echo', name);
      if (said !== name) throw new Error(`${name} said "${said}"`);
      return;
    }
    this.husk('run', '-d', '--rm', '--name', name, '--isolation=vm', '--network', 'none', ...shared, 'husk/base', 'sh', '-c', 'trap exit TERM; while :; do sleep 0.1; done');
    this.husk('exec', name, 'true');
    this.husk('stop', name);
  }

  exists(name: string): boolean {
    return existsSync(join(this.folder, name));
  }

  remove(name: string): void {
    rmSync(join(this.folder, name));
  }

  async census(): Promise<Census> {
    // what ends with a container has a moment to be gone
    let processes = this.#processes();
    for (let i = 0; i < 50 && processes > 1; i++, processes = this.#processes()) await sleep(100);
    return {
      processes,
      files: Number(readFileSync('/proc/sys/fs/file-nr', 'latin1').split('\t')[0]),
      mounts: readFileSync('/proc/self/mountinfo', 'latin1').split('\n').length,
      cgroups: count('/sys/fs/cgroup/husk-user'),
      paths: [...paths(join(this.folder, 'data')), ...paths(join(process.env['XDG_RUNTIME_DIR'] ?? '/run', 'husk'))].filter((path) => !/husk\.db(-wal|-shm)?$/.test(path)),
      dataBytes: Number(execFileSync('du', ['-sB1', this.folder], { encoding: 'latin1' }).split('\t')[0]),
      availableKib: Number(/^MemAvailable:\s+(\d+)/m.exec(readFileSync('/proc/meminfo', 'latin1'))![1]),
    };
  }

  /** of husk's, by their names; this program and what it starts for the census are not among them */
  #processes(): number {
    return readdirSync('/proc').filter((pid) => /^\d+$/.test(pid) && Number(pid) !== process.pid && /husk/.test(commandLine(pid)) && !/leaks/.test(commandLine(pid))).length;
  }

  [Symbol.dispose](): void {
    rmSync(this.folder, { recursive: true, force: true });
  }
}

function count(folder: string): number {
  try {
    return readdirSync(folder, { recursive: true, withFileTypes: true }).filter((entry) => entry.isDirectory()).length;
  } catch {
    return 0;
  }
}

function paths(folder: string): string[] {
  return existsSync(folder) ? readdirSync(folder, { recursive: true, encoding: 'utf8' }).map((name) => join(folder, name)).sort() : [];
}

function commandLine(pid: string): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'latin1');
  } catch {
    return '';
  }
}

/** What a running process holds. Since Linux 6.2 the size of its fd folder is how many descriptors it has open, whoever asks. */
export function holdings(pid: number): { files: number; threads: number; residentKib: number } {
  const status = readFileSync(`/proc/${pid}/status`, 'latin1');
  return { files: statSync(`/proc/${pid}/fd`).size, threads: Number(/^Threads:\s+(\d+)/m.exec(status)![1]), residentKib: Number(/^RssAnon:\s+(\d+)/m.exec(status)![1]) };
}

/** KiB a start may cost for ever: what the kernel keeps of names and pages it has seen is given back late */
const KIB_PER_START = 256;
/** the events table grows by some rows a start, until it is full */
const BYTES_PER_START = 16 * 1024;

/** @returns what was left behind, a line each */
export function leaks(before: Census, after: Census, starts: number): string[] {
  const found: string[] = [];
  const more = (what: string, is: number, was: number, most = 0) => {
    if (is - was > most) found.push(`${what}: ${was} before, ${is} after`);
  };
  more('processes', after.processes, before.processes);
  // commands of the system come and go; a leak of one a start is more
  more('open files', after.files, before.files, Math.min(starts - 1, 64));
  more('mounts', after.mounts, before.mounts);
  more('cgroups', after.cgroups, before.cgroups);
  more('bytes of the data root', after.dataBytes, before.dataBytes, BYTES_PER_START * starts + (1 << 20));
  more('KiB of memory in use', -after.availableKib, -before.availableKib, KIB_PER_START * starts + 40_960);
  const added = after.paths.filter((path) => !before.paths.includes(path));
  if (added.length > 0) found.push(`files: ${added.join(' ')}`);
  return found;
}

async function main(starts: number): Promise<number> {
  using home = new Home();
  // the first starts fill caches for good: the root disk's index, compiled filters, the database
  for (let i = 0; i < 2; i++) await home.once(i);
  const before = await home.census();
  const begun = performance.now();
  for (let i = 0; i < starts; i++) {
    await home.once(i);
    if ((i + 1) % 20 === 0) console.log(`${i + 1} of ${starts}, ${Math.round((performance.now() - begun) / 1000)} s`, JSON.stringify({ ...(await home.census()), paths: undefined }));
  }
  const after = await home.census();
  const found = leaks(before, after, starts);
  console.log(JSON.stringify({ starts, seconds: Math.round((performance.now() - begun) / 1000), before: { ...before, paths: before.paths.length }, after: { ...after, paths: after.paths.length }, found }, null, 2));
  return found.length === 0 ? 0 : 1;
}

if (process.argv[1] === import.meta.filename) process.exitCode = await main(Number(process.argv[2] ?? 200));
