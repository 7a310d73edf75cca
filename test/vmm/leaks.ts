/**
 * Starts and stops VM containers one after another and counts what is there before and after: processes, open files of
 * the whole system, mounts, cgroups, files of the data root, memory. `node test/vmm/leaks.ts COUNT` in the test host as
 * an ordinary user prints the figures; leaks.test.ts asks the same for a few starts, where a leak of one of anything a
 * start is seen.
 */
import { execFileSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { commandLine, Home } from './home.ts';
import { BASE } from './parts.ts';

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

/** A VM container that says who it is and ends; every second is stopped instead. */
export async function once(home: Home, number: number): Promise<void> {
  const name = `c${number}`;
  const run = (...args: string[]) =>
    home.must(
      'run',
      '--rm',
      '--name',
      name,
      '--isolation=vm',
      '--network',
      'none',
      '-v',
      `${home.folder}:/mnt:ro`,
      '-v',
      `${BASE}:/base.tar:ro`,
      ...args,
    );
  if (number % 2 === 0) {
    const said = run('husk/base', 'echo', name);
    if (said !== name) throw new Error(`${name} said "${said}"`);
    return;
  }
  run('-d', 'husk/base', 'sh', '-c', 'trap exit TERM; while :; do sleep 0.1; done');
  home.must('exec', name, 'true');
  home.must('stop', name);
}

export async function census(home: Home): Promise<Census> {
  // What ends with a container has a moment to be gone, and a maker of a template the time of a boot.
  for (let i = 0; i < 50 && processes() > 0; i++) await sleep(100);
  for (let i = 0; i < 3000 && makers() > 0; i++) await sleep(100);
  return {
    processes: processes(),
    files: Number(readFileSync('/proc/sys/fs/file-nr', 'latin1').split('\t')[0]),
    mounts: readFileSync('/proc/self/mountinfo', 'latin1').split('\n').length,
    cgroups: count('/sys/fs/cgroup/husk-user'),
    paths: [...paths(home.path('data')), ...paths(join(process.env['XDG_RUNTIME_DIR'] ?? '/run', 'husk'))].filter(
      (path) => !/husk\.db(-wal|-shm)?$/.test(path),
    ),
    dataBytes: Number(execFileSync('du', ['-sB1', home.folder], { encoding: 'latin1' }).split('\t')[0]),
    availableKib: Number(/^MemAvailable:\s+(\d+)/m.exec(readFileSync('/proc/meminfo', 'latin1'))![1]),
  };
}

/** husk's own, by the program's name; a test of this project is not one */
const processes = (): number => running('husk');
const makers = (): number => running('husk-template');

function running(name: string): number {
  return readdirSync('/proc').filter((pid) => /^\d+$/.test(pid) && commandLine(pid).startsWith(name)).length;
}

function count(folder: string): number {
  try {
    return readdirSync(folder, { recursive: true, withFileTypes: true }).filter((entry) => entry.isDirectory()).length;
  } catch {
    return 0;
  }
}

function paths(folder: string): string[] {
  return existsSync(folder)
    ? readdirSync(folder, { recursive: true, encoding: 'utf8' })
        .map((name) => join(folder, name))
        .sort()
    : [];
}

/**
 * What a running process holds. Since Linux 6.2 the size of its fd folder is how many descriptors it has open, whoever
 * asks.
 */
export function holdings(pid: number): { files: number; threads: number; residentKib: number } {
  const status = readFileSync(`/proc/${pid}/status`, 'latin1');
  return {
    files: statSync(`/proc/${pid}/fd`).size,
    threads: Number(/^Threads:\s+(\d+)/m.exec(status)![1]),
    residentKib: Number(/^RssAnon:\s+(\d+)/m.exec(status)![1]),
  };
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
  for (let i = 0; i < 2; i++) await once(home, i);
  const before = await census(home);
  const begun = performance.now();
  for (let i = 0; i < starts; i++) {
    await once(home, i);
    if ((i + 1) % 20 === 0)
      console.log(
        `${i + 1} of ${starts}, ${Math.round((performance.now() - begun) / 1000)} s`,
        JSON.stringify({ ...(await census(home)), paths: undefined }),
      );
  }
  const after = await census(home);
  const found = leaks(before, after, starts);
  console.log(
    JSON.stringify(
      {
        starts,
        seconds: Math.round((performance.now() - begun) / 1000),
        before: { ...before, paths: before.paths.length },
        after: { ...after, paths: after.paths.length },
        found,
      },
      null,
      2,
    ),
  );
  return found.length === 0 ? 0 : 1;
}

if (process.argv[1] === import.meta.filename) process.exitCode = await main(Number(process.argv[2] ?? 200));
