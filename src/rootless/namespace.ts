/**
 * Runs a program as root of the user's mapped namespace: what unpacks layers, copies into volumes, and deletes trees
 * that belong to subordinate ids. It has the container's ids but none of its other walls: never run a container's own
 * program here.
 */
import { FIRST_INHERITED, launch, type Launched, type LaunchOptions } from '../launch/executor.ts';
import type { LaunchPlan, Step } from '../launch/plan.ts';
import { MS_PRIVATE, MS_REC } from '../launch/mount-options.ts';
import { CLONE_NEWNS, CLONE_NEWUSER } from '../container/namespaces.ts';
import { INIT_PROGRAM, INTERNAL, OWN_CODE, SELF } from '../program.ts';
import { idMaps, writeIdMaps, type IdMaps } from './idmap.ts';
import { reachSteps, type Reach } from './reach.ts';

export interface NamespaceProgram {
  /** argv, or one of husk's internal programs (src/main.ts) */
  program: readonly string[] | { internal: string; args?: readonly string[] };
  /** @default 'null' */
  stdin?: LaunchOptions['stdin'];
  /** @default 'null' */
  stdout?: LaunchOptions['stdout'];
  /** @default this process's */
  stderr?: LaunchOptions['stderr'];
  /** what it is to get at besides husk's own code: for husk run by root, whose data root is closed to everybody else */
  reach?: Reach;
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
 * @throws HuskError `unsupported` with the fix when this host or user cannot have the namespace; later failures reject
 * `started`
 */
export function runInUserNamespace(options: NamespaceProgram): Launched {
  const maps = options.maps ?? idMaps();
  const program = options.program;
  const args = 'internal' in program ? [...SELF, INTERNAL, program.internal, ...(program.args ?? [])] : [...program];
  const env = options.env ? [...options.env] : Object.entries(process.env).map(([name, value]) => `${name}=${value}`);
  const plan: LaunchPlan = [
    ...(maps.direct ? reachSteps(withOwnCode(options.reach)) : []),
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
export const MAX_SAID = 4096;

/**
 * As runInUserNamespace, to its end. The streams are awaited as well as the exit: a program that has ended may have
 * said more than has been read.
 * @param options.onText all of what the program prints
 * @returns the exit code, and the beginning of both streams
 */
export async function namespaceProgramOutput({
  onText,
  ...options
}: Omit<NamespaceProgram, 'stdin' | 'stdout' | 'stderr'> & {
  onText?: ((text: string) => void) | undefined;
}): Promise<{ code: number; stdout: string; stderr: string }> {
  const launched = runInUserNamespace({ ...options, stdout: 'pipe', stderr: 'pipe' });
  const said = { stdout: '', stderr: '' };
  const streams = (['stdout', 'stderr'] as const).map(async (name) => {
    const stream = launched[name]!.setEncoding('utf8');
    stream.on('data', (text: string) => (said[name] = (said[name] + text).slice(0, MAX_SAID)));
    if (name === 'stdout' && onText) stream.on('data', onText);
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

/** husk may lie where only root can go: what an internal program is made of. */
export function withOwnCode(reach: Reach = { kept: [] }): Reach {
  return { ...reach, kept: [...reach.kept, ...OWN_CODE, SELF[0]] };
}

function privateMounts(): Step[] {
  return [
    { op: 'unshare', flags: CLONE_NEWNS },
    { op: 'mount', source: '', target: '/', fstype: '', flags: MS_REC | MS_PRIVATE, data: '' },
  ];
}
