/**
 * The two engines whose API is measured, and the one client that asks both: `husk serve` as an ordinary user, its
 * containers in user namespaces, and Docker's own engine as root.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { dirname } from 'node:path';
import { clientEnvironment, type DockerClient } from '../../test/fixtures/docker-client.ts';
import type { DockerEngine } from '../../test/fixtures/docker-engine.ts';
import { timeCommand } from '../measure.ts';

export interface Engine {
  name: string;
  socket: string;
  /** processes of the server, without those that stand beside containers */
  pids(): number[];
  /** ms of a command line of the client. @throws Error when it fails */
  docker(...words: string[]): number;
  /** the same, whose standard output is read as it comes */
  reading(...words: string[]): Promise<Read>;
}

/** When the output of a command came, ms on `performance`'s clock. */
interface Read {
  bytes: number;
  started: number;
  first: number;
  last: number;
  ended: number;
}

/** @param config a folder that has no configuration of the client's */
export function engine(
  { path }: DockerClient,
  config: string,
  { name, socket, pids }: Pick<Engine, 'name' | 'socket' | 'pids'>,
): Engine {
  const env = clientEnvironment({ socket, config });
  return {
    name,
    socket,
    pids,
    docker: (...words) => timeCommand([path, ...words], env),
    async reading(...words) {
      const started = performance.now();
      const client = spawn(path, words, { env, stdio: ['ignore', 'pipe', 'inherit'] });
      const read: Read = { bytes: 0, started, first: 0, last: 0, ended: 0 };
      client.stdout.on('data', (chunk: Buffer) => {
        read.last = performance.now();
        if (read.bytes === 0) read.first = read.last;
        read.bytes += chunk.length;
      });
      const [code] = (await once(client, 'close')) as [number | null];
      if (code !== 0) throw new Error(`docker ${words.join(' ')} gave ${code}`);
      return { ...read, ended: performance.now() };
    },
  };
}

/** dockerd and its containerd: both are told of the engine's folder. */
export function dockerPids({ socket }: DockerEngine): number[] {
  const folder = dirname(socket);
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
    .filter((pid) => /^(?:\S*\/)?(?:dockerd|containerd) /.test(commandLine(pid)) && commandLine(pid).includes(folder));
}

function commandLine(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'latin1').replaceAll('\0', ' ');
  } catch {
    return '';
  }
}

/** Memory of processes, MiB. */
export interface Memory {
  /** proportional set size (proc_pid_smaps(5)) */
  pss: number;
  /** the same, if no other process ran from the same program file: its text counts whole */
  alone: number;
}

export function memoryOf(pids: readonly number[]): Memory {
  let [pss, alone] = [0, 0];
  for (const pid of pids) {
    const program = readlinkSync(`/proc/${pid}/exe`);
    // A mapping's sizes follow its line.
    for (const mapping of readFileSync(`/proc/${pid}/smaps`, 'latin1').split(/^(?=[0-9a-f]+-[0-9a-f]+ )/m)) {
      const size = (what: string) => Number(new RegExp(`^${what}:\\s+(\\d+) kB`, 'm').exec(mapping)?.[1] ?? 0) / 1024;
      pss += size('Pss');
      alone += size(fileOf(mapping) === program ? 'Rss' : 'Pss');
    }
  }
  return { pss, alone };
}

const fileOf = (mapping: string): string => /^\S+ \S+ \S+ \S+ \S+ *(.*)$/m.exec(mapping)![1]!;
