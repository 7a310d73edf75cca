/**
 * A sandbox without walls for tests of the engine and the supervisor: the command runs as a plain process of this host.
 * What it has in common with the real one is what those rooms rely on: it dies with the supervisor, and errors come as
 * the real one's do.
 */
import { dirname } from 'node:path';
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { PassThrough, Readable } from 'node:stream';
import { constants } from 'node:os';
import {
  accessSync,
  constants as access,
  linkSync,
  renameSync,
  readFileSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { HuskError, TemplateFailed } from '../../src/errors.ts';
import type { ExitStatus, Sandbox, SandboxProcess, StdioRequest } from '../../src/sandbox.ts';
import { savedFiles, type SavedFiles } from '../../src/vmm/snapshot/saved-files.ts';
import type { OpenSandbox } from '../../src/supervisor/life/sandboxes.ts';

/** of the command's environment: its machine does not go on from a template, and has to boot */
export const NO_TEMPLATE = 'TEMPLATE=fails';

export const openFakeSandbox: OpenSandbox = async ({ saved, coldBoot, spec: { process: command } }) => {
  const sandbox = fakeSandbox(saved === undefined ? command.args : goesOn(saved), command.env);
  if (coldBoot || !command.env.includes(NO_TEMPLATE)) return sandbox;
  const fail = () => Promise.reject(new TemplateFailed('its CPU gave up'));
  return { ...sandbox, prepare: fail, open: fail };
};

/** What a copy does: it tells what it goes on with, which is read before it starts, and waits. */
function goesOn(folder: string): string[] {
  const { state, memory } = savedFiles(folder);
  if (readFileSync(state, 'latin1') === 'fails')
    throw new HuskError('this machine cannot go on', { kind: 'unsupported' });
  return [
    'sh',
    '-c',
    'echo "$@"; exec sleep 600',
    'sh',
    ...[state, memory].map((file) => readFileSync(file, 'latin1')),
  ];
}

/** How a monitor saves its machine that was taken over, by SAVE of the command's environment. */
const SAVES: Record<string, (files: SavedFiles) => void> = {
  link: ({ memory }) => symlinkSync('/etc/passwd', memory),
  'two names': ({ memory, disk }) => linkSync(disk, memory),
  open: ({ memory }) => writeFileSync(memory, 'memory', { mode: 0o644 }),
  elsewhere: ({ memory }) => {
    writeFileSync(memory, 'memory', { mode: 0o600 });
    exchange(dirname(memory));
  },
  'all elsewhere': ({ memory }) => {
    writeFileSync(memory, 'memory', { mode: 0o600 });
    exchange(dirname(dirname(memory)));
  },
  nothing: () => {},
  fails: () => {
    throw new HuskError('the guest takes nothing', { kind: 'unavailable' });
  },
};

/** A link comes into the place of a folder. */
function exchange(folder: string): void {
  renameSync(folder, `${folder}-elsewhere`);
  symlinkSync(`${folder}-elsewhere`, folder);
}

function save(folder: string, env: readonly string[]): { standstill: number } {
  const files = savedFiles(folder);
  for (const name of ['state', 'disk'] as const) writeFileSync(files[name], name, { mode: 0o600 });
  const how = env.find((entry) => entry.startsWith('SAVE='))?.slice('SAVE='.length);
  if (how === undefined) writeFileSync(files.memory, 'memory', { mode: 0o600 });
  else SAVES[how]!(files);
  return { standstill: 1 };
}

function fakeSandbox(args: string[], env: string[]): Sandbox {
  let stdio: StdioRequest | undefined;
  let main: SandboxProcess | undefined;
  const running = new Set<SandboxProcess>();
  const run = async (command: string[], request: StdioRequest) => {
    const process = await start(command, env, request);
    running.add(process);
    void process.exited.then(() => running.delete(process));
    await untilItself(process.pid);
    return process;
  };
  const destroy = async () => {
    for (const process of running) process.signal(9);
    return undefined;
  };
  return {
    async prepare(request) {
      stdio = request;
      return { pid: 1 };
    },
    async start() {
      return (main = await run(args, stdio!));
    },
    exec: (process, request) => run(process.args, request),
    signal: (signal) => main?.signal(signal),
    pause: async () => running.forEach((process) => process.signal(constants.signals.SIGSTOP)),
    unpause: async () => running.forEach((process) => process.signal(constants.signals.SIGCONT)),
    processes: async () => [...running].map(({ pid }) => pid),
    ps: async (options) => ({
      titles: ['PID', 'CMD'],
      processes: [...running].map(({ pid }) => [String(pid), `ps ${options.join(' ')}`]),
    }),
    stats: async () => ({
      cpuNanoseconds: 1,
      memoryBytes: 2,
      memoryLimitBytes: 3,
      pids: running.size,
      pidsLimit: undefined,
      networkReceivedBytes: 0,
      networkSentBytes: 0,
      blockReadBytes: 0,
      blockWrittenBytes: 0,
    }),
    update: async () => {},
    save: async (folder) => save(folder, env),
    open: async () => {},
    // what it is asked, and what it was sent, comes back
    files: (request, input) =>
      Readable.from(
        (async function* () {
          yield Buffer.from(`${JSON.stringify({ size: 1 })}\n${JSON.stringify(request)}\n`);
          if (input) yield* input;
        })(),
      ),
    destroy,
    [Symbol.asyncDispose]: async () => void (await destroy()),
  };
}

/**
 * --pdeathsig: as husk-init does it, the process goes when its supervisor goes, also when that was before the signal
 * was asked for.
 */
const LEASH = ['--pdeathsig', 'KILL', '--', '/bin/sh', '-c', '[ "$PPID" = "$0" ] && exec "$@"'];

async function start(command: string[], env: string[], stdio: StdioRequest): Promise<SandboxProcess> {
  const program = find(command[0]!);
  const child = spawn('setpriv', [...LEASH, String(process.pid), program, ...command.slice(1)], {
    stdio: [stdio.stdin ? 'pipe' : 'ignore', 'pipe', 'pipe'],
    env: Object.fromEntries(env.map((entry) => entry.split(/=(.*)/s) as [string, string])),
  });
  await once(child, 'spawn');
  // Node throws away what nobody reads when a child exits; the supervisor begins to read later
  const [stdout, stderr] = [child.stdout!, child.stderr!].map((stream) => stream.pipe(new PassThrough())) as [
    PassThrough,
    PassThrough,
  ];
  return {
    pid: child.pid!,
    stdin: child.stdin,
    stdout,
    stderr,
    resize: () => {},
    signal: (signal) => void child.kill(signal),
    exited: exited(child),
  };
}

/** As of a real sandbox: what has started is the command. */
async function untilItself(pid: number): Promise<void> {
  const isLeashed = () => {
    try {
      return readFileSync(`/proc/${pid}/cmdline`, 'latin1').includes(LEASH.at(-1)!);
    } catch {
      return false;
    }
  };
  while (isLeashed()) await sleep(1);
}

async function exited(child: ChildProcess): Promise<ExitStatus> {
  const [code, signal] = (await once(child, 'exit')) as [number | null, NodeJS.Signals | null];
  return code === null ? { code: 128 + constants.signals[signal!], signal: constants.signals[signal!] } : { code };
}

function find(name: string): string {
  const candidates = name.includes('/') ? [name] : ['/usr/bin', '/bin'].map((folder) => `${folder}/${name}`);
  const found = candidates.find((path) => statSync(path, { throwIfNoEntry: false })?.isFile());
  if (!found)
    throw new HuskError(`exec: "${name}": executable file not found in $PATH`, { kind: 'start-failed', exitCode: 127 });
  try {
    accessSync(found, access.X_OK);
  } catch (error) {
    throw new HuskError(`exec: "${name}": permission denied`, { kind: 'start-failed', exitCode: 126, cause: error });
  }
  return found;
}
