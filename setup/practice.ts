/**
 * The practice of the build (packs.ts): a process of its own that loads the packs and runs what users run most, so that
 * V8 has compiled it when the code cache is written. Commands run one after the other, and their supervisors beside
 * them in this process, as launcher/husk.c starts them.
 *
 * A container's sandbox is none: what it runs is a program of this host, which husk-init starts with a plan that needs
 * no right. The real plan is made, encoded and never carried out, because the first husk-init is not there yet. So it
 * needs no root, no namespace, no cgroup, no network and no image. What the host is like must not decide what is
 * called, since that decides the bytes: what husk would ask it is told here.
 *
 *     practice.ts SCRATCH, in the folder with the packs: reads SCRATCH/practice.json, writes SCRATCH/cache-N
 */
import fs from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { setFlagsFromString } from 'node:v8';
import type { Script } from 'node:vm';
import type * as Cli from '../src/cli/main.ts';
import type { LocalSandbox } from '../src/container/local-sandbox.ts';
import type * as Unpack from '../src/images/layers/unpack.ts';
import type { LaunchPlan } from '../src/launch/plan.ts';
import type * as IdMap from '../src/rootless/idmap.ts';
import type * as KeepId from '../src/rootless/keep-id.ts';
import type * as Rootless from '../src/rootless/sandbox.ts';
import type { UsersNamespace } from '../src/rootless/users-namespace.ts';
import type { Sandbox, SandboxProcess, StdioRequest } from '../src/sandbox.ts';
import type { ProcessSpec } from '../src/spec.ts';
import type { OpenSandbox } from '../src/supervisor/life/sandboxes.ts';
import type * as Supervisor from '../src/supervisor/main.ts';
import { tellOfTheHost } from './practice-host.ts';

/** What packs.ts says in practice.json. */
export interface Rehearsal {
  commands: readonly (readonly string[])[];
  /** the chunk of each source file that is loaded on demand */
  chunks: Record<string, number>;
  /** the real husk-init */
  init: string;
}

/** socket(2) */
const AF_UNIX = 1;
const SOCK_STREAM = 1;
const SOCK_CLOEXEC = 0o2000000;
const SIGKILL = 9;
/** before a command that is to fail */
const FAILS = '!';

/**
 * What depends on time: V8 forgets functions that were not called for some garbage collections, and notes which become
 * hot soon.
 */
const STEADY = [
  'flush-bytecode',
  'incremental-marking',
  'profile-guided-optimization',
  'sparkplug',
  'maglev',
  'turbofan',
];

/**
 * ms: what waits this long or longer is a deadline, or memory that is given back some time after a start. Whether such
 * a timer fires depends on how busy the machine is, and decides what is compiled: in the practice none does. What waits
 * for less looks again and again for something, and has to go on.
 */
const DEADLINE = 200;

const scratch = process.argv[2]!;
const { commands, chunks, init } = JSON.parse(fs.readFileSync(join(scratch, 'practice.json'), 'utf8')) as Rehearsal;
// the program that the packs begin with prints this
process.argv = [process.argv[0]!, 'husk', '--version'];
for (const flag of STEADY) setFlagsFromString(`--no-${flag}`);
const { setTimeout: startTimer } = globalThis;
globalThis.setTimeout = Object.assign(
  (callback: () => void, ms?: number) => startTimer(ms !== undefined && ms >= DEADLINE ? () => {} : callback, ms),
  startTimer,
);
for (const stream of [process.stdout, process.stderr]) stream.setMaxListeners(0);

/** where husk looks for husk-init (src/program.ts) */
const program = process.env['HUSK_INIT_PROGRAM']!;

const { load, scripts } = loadPacks();
const part = <T>(file: string): T => load(chunks[file]!) as T;

/** As any program would: V8 keeps the name of a file in the cache, so that is the same wherever husk is built. */
function loadPacks(): { load(chunk: number): unknown; scripts: Script[] } {
  const module = { exports: {} };
  const require = createRequire(join(process.cwd(), 'husk.cjs'));
  new Function('require', 'module', '__dirname', fs.readFileSync('husk.cjs', 'utf8'))(require, module, '.');
  return module.exports as ReturnType<typeof loadPacks>;
}

/** Two ends of a connection, as numbers. */
function connection(): [number, number] {
  const koffi = createRequire(join(process.cwd(), 'husk.cjs'))('./koffi.node') as typeof import('koffi');
  const ends = new Int32Array(2);
  // safe: it writes two numbers
  const made = koffi.load('libc.so.6').func('int socketpair(int, int, int, void *)') as (...of: unknown[]) => number;
  if (made(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) !== 0) throw new Error('cannot make a pair of sockets');
  return [ends[0]!, ends[1]!];
}

/**
 * A plan that any user may carry out: `sh -c` of what would be the container's command, which begins when it is sent a
 * line.
 */
const harmless = ([, , script]: readonly string[]): LaunchPlan => [
  { op: 'parentDeathSignal', signal: SIGKILL },
  { op: 'fork' },
  { op: 'parentDeathSignal', signal: SIGKILL },
  { op: 'setsid' },
  { op: 'setRoot', path: '/' },
  { op: 'umask', mask: 0o022 },
  { op: 'await', tag: 'exec' },
  { op: 'environment', env: [] },
  { op: 'closeFrom', fd: 3 },
  { op: 'exec', args: ['/bin/sh', '-c', `read begin; ${script}`] },
];

/** Begins when husk has looked at it: else it would be gone for some, who catch an exception then, which V8 notes. */
function begun(process: SandboxProcess, { stdin }: StdioRequest): SandboxProcess {
  setImmediate(() => {
    process.stdin!.write('\n');
    if (!stdin) process.stdin!.end();
  });
  return { ...process, stdin: stdin ? process.stdin : null };
}

/** What fails where husk-init is missing, and has done everything before. */
async function withoutInit(what: () => Promise<unknown>): Promise<void> {
  fs.rmSync(program, { force: true });
  const failed = await what().then(
    () => undefined,
    (error: unknown) => error,
  );
  fs.symlinkSync(init, program);
  if (!(failed instanceof Error && failed.message.includes('cannot start'))) throw failed ?? new Error('it started');
}

const openPractice: OpenSandbox = async (task, paths) => {
  const { UsernsSandbox } = part<typeof Rootless>('src/rootless/sandbox.ts');
  const { ensureUnpacked } = part<typeof Unpack>('src/images/layers/unpack.ts');
  const { keptMaps } = part<typeof KeepId>('src/rootless/keep-id.ts');
  const { idMaps } = part<typeof IdMap>('src/rootless/idmap.ts');
  const kept = keptMaps(task.spec.linux)?.kept;
  // as if they were unpacked already, which takes a user namespace
  for (const { diffId } of task.layers)
    fs.mkdirSync(join(paths.layers, diffId.replace('sha256:', ''), 'tree-v1'), { recursive: true });
  const directory = paths.container(task.id);
  const rootfs = {
    kind: 'overlay' as const,
    lower: await ensureUnpacked(task.layers, paths, { kept }),
    upper: join(directory, 'upper'),
    work: join(directory, 'work'),
    merged: join(directory, 'merged'),
  };
  const { id, spec } = task;
  const config = { id, spec, rootfs, images: [], directory, init: task.init };
  const maps = idMaps();
  const around = (lines: IdMap.IdMaps['uid']) => lines.map((line) => ({ ...line, containerID: line.containerID + 1 }));
  const users = { fd: { number: 0 }, maps: { ...maps, uid: around(maps.uid), gid: around(maps.gid) } };
  /** the user's namespace is not found and not made; then it is there, and the container's plan is made */
  const real = async (stdio: StdioRequest) => {
    for (const one of [paths.dataRoot, users as unknown as UsersNamespace]) {
      const sandbox = new UsernsSandbox(config, { maps, users: one });
      await withoutInit(() => sandbox.prepare(stdio));
      await sandbox.destroy();
    }
  };
  const Local = Object.getPrototypeOf(UsernsSandbox) as typeof LocalSandbox;
  const local = { id, rootless: true, cgroup: async () => undefined };

  /** What is common with the real one is real. */
  class PracticeSandbox extends Local {
    #stdio: StdioRequest | undefined;

    constructor() {
      super(spec, { ...local, plan: () => harmless(spec.process.args) });
    }
    override async prepare(stdio: StdioRequest): Promise<{ pid: number }> {
      this.#stdio = stdio;
      await real(stdio);
      return super.prepare({ ...stdio, stdin: true });
    }
    override async start(): Promise<SandboxProcess> {
      return begun(await super.start(), this.#stdio!);
    }
    override async exec(process: ProcessSpec, stdio: StdioRequest): Promise<SandboxProcess> {
      await withoutInit(() => super.exec(process, stdio));
      const one = new Local(spec, { ...local, plan: () => harmless(process.args) });
      await one.prepare({ ...stdio, stdin: true });
      return begun(await one.start(), stdio);
    }
    override async destroy(): Promise<number | undefined> {
      const bytes = await super.destroy();
      this.living();
      return bytes;
    }
    async open(): Promise<void> {}
    files(): never {
      throw new Error('nobody practises with files');
    }
  }
  return new PracticeSandbox() as unknown as Sandbox;
};

/** Runs a command, with a supervisor ready for it if it is of those that want one. */
async function run([...words]: readonly string[]): Promise<void> {
  const fails = words[0] === FAILS && words.shift() === FAILS;
  if (words[0] === 'run' || words[0] === 'start') {
    const [ours, theirs] = connection();
    process.env['HUSK_SUPERVISOR_FD'] = String(ours);
    supervisors.push(part<typeof Supervisor>('src/supervisor/main.ts').main([String(theirs)], openPractice));
    // what goes wrong is said here, and a signal ends the build
    for (const event of ['uncaughtException', 'SIGTERM', 'SIGINT', 'SIGHUP']) process.removeAllListeners(event);
  }
  const code = await part<typeof Cli>('src/cli/main.ts').main(words);
  if ((code !== 0) !== fails) throw new Error(`husk ${words.join(' ')} gave ${code}`);
}

tellOfTheHost(scratch);
const supervisors: Promise<unknown>[] = [];
const { exit } = process;
// that of a supervisor whose container has ended
process.exit = ((code: number) => code === 0 || exit(code)) as typeof exit;
for (const command of commands) await run(command);
await Promise.all(supervisors);
// before the caches are written: the flags are part of them, and must be those of the run
for (const flag of STEADY) setFlagsFromString(`--${flag}`);
for (const flag of ['min', 'max']) setFlagsFromString(`--${flag}-semi-space-size=0`);
scripts.forEach((script, pack) => fs.writeFileSync(join(scratch, `cache-${pack}`), script.createCachedData()));
exit(0);
