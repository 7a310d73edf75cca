/**
 * Runs a program as root of the user's mapped namespace: what unpacks layers, copies into volumes, and deletes trees that
 * belong to subordinate ids. It has the container's ids but none of its other walls: never run a container's own program here.
 */
import { basename, dirname } from 'node:path';
import { FIRST_INHERITED, launch, type Launched, type LaunchOptions } from '../container/executor.ts';
import type { LaunchPlan, Step } from '../container/launch-plan.ts';
import { MS_PRIVATE, MS_REC } from '../container/mount-options.ts';
import { CLONE_NEWNS, CLONE_NEWUSER } from '../container/namespaces.ts';
import { INIT_PROGRAM, INTERNAL, SELF } from '../program.ts';
import { reachSteps } from './reach.ts';
import { idMaps, writeIdMaps, type IdMaps } from './idmap.ts';

export interface NamespaceProgram {
  /** argv, or one of husk's internal programs (src/main.ts) */
  program: readonly string[] | { internal: string; args?: readonly string[] };
  /** @default 'null' */
  stdin?: LaunchOptions['stdin'];
  /** @default 'null' */
  stdout?: LaunchOptions['stdout'];
  /** @default this process's */
  stderr?: LaunchOptions['stderr'];
  /** performed outside, as the caller */
  before?: readonly Step[];
  /** steps into namespaces that are there already, instead of a new user namespace */
  join?: readonly Step[];
  /** a mount namespace of its own, with nothing propagating out of it */
  mounts?: boolean;
  /** performed as root of the namespace, before the program: mounts, above all */
  steps?: readonly Step[];
  /** descriptors that the program has as FIRST_INHERITED and on (executor.ts) */
  inherit?: readonly number[];
  /** NAME=value; @default this process's */
  env?: readonly string[];
  /** computed once by callers that start many */
  maps?: IdMaps;
}

/**
 * Starts the program with every capability in the namespace, uid and gid 0, no supplementary groups.
 * @throws HuskError `unsupported` with the fix when this host or user cannot have the namespace; later failures reject `started`
 */
export function runInUserNamespace(options: NamespaceProgram): Launched {
  const maps = options.maps ?? idMaps();
  const program = options.program;
  const args = 'internal' in program ? [...SELF, INTERNAL, program.internal, ...(program.args ?? [])] : [...program];
  const env = options.env ? [...options.env] : Object.entries(process.env).map(([name, value]) => `${name}=${value}`);
  const plan: LaunchPlan = [
    ...(maps.direct ? reachOwnParts('internal' in program) : []),
    ...(options.before ?? []),
    ...(options.join ?? enterUserNamespace()),
    ...(options.mounts ? privateMounts() : []),
    ...(options.steps ?? []),
    ...(options.inherit ? [{ op: 'closeFrom' as const, fd: FIRST_INHERITED + options.inherit.length }] : []),
    { op: 'environment', env },
    { op: 'exec', args },
  ];
  return launch(plan, {
    init: INIT_PROGRAM,
    stdin: options.stdin ?? 'null',
    stdout: options.stdout ?? 'null',
    stderr: options.stderr ?? 2,
    ...(options.inherit && { inherit: options.inherit }),
    onAwait: (_tag, pid) => writeIdMaps(pid, maps),
  });
}

/** characters of each stream that are kept: of a failure the first line is told */
const MAX_SAID = 4096;

/**
 * As runInUserNamespace, to its end. The streams are awaited as well as the exit: a program that has ended may have said more than has been read.
 * @returns the exit code, and the beginning of both streams
 */
export async function namespaceProgramOutput(options: Omit<NamespaceProgram, 'stdin' | 'stdout' | 'stderr'>): Promise<{ code: number; stdout: string; stderr: string }> {
  const launched = runInUserNamespace({ ...options, stdout: 'pipe', stderr: 'pipe' });
  const said = { stdout: '', stderr: '' };
  const streams = (['stdout', 'stderr'] as const).map(async (name) => {
    const stream = launched[name]!.setEncoding('utf8');
    stream.on('data', (text: string) => (said[name] = (said[name] + text).slice(0, MAX_SAID)));
    await new Promise((closed) => stream.once('close', closed));
  });
  await launched.started;
  const [{ code }] = await Promise.all([launched.exited, ...streams]);
  return { code, ...said };
}

/** a new user namespace, and root in it */
function enterUserNamespace(): Step[] {
  return [
    { op: 'unshare', flags: CLONE_NEWUSER },
    { op: 'await', tag: 'idmap' },
    { op: 'setgroups', gids: [] },
    { op: 'setgid', gid: 0 },
    { op: 'setuid', uid: 0 },
  ];
}

/** As root: husk may be installed where only root can go. */
function reachOwnParts(internal: boolean): Step[] {
  if (!internal) return [];
  const [node, , entry] = SELF as [string, string, string];
  const folder = dirname(entry);
  // the sources and dist/ lie in the project with its node_modules; an installed husk is one folder
  const steps = reachSteps([basename(folder) === 'husk' ? folder : dirname(folder), dirname(node)]);
  return steps.length === 0 ? [] : [...privateMounts(), ...steps];
}

function privateMounts(): Step[] {
  return [
    { op: 'unshare', flags: CLONE_NEWNS },
    { op: 'mount', source: '', target: '/', fstype: '', flags: MS_REC | MS_PRIVATE, data: '' },
  ];
}
