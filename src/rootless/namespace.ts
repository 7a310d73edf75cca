/**
 * Runs a program as root of the user's mapped namespace: programs that unpack layers, copy into volumes, and delete
 * trees that belong to subordinate ids. The program has the container's ids but is not isolated otherwise: a
 * container's own program must never run here.
 */
import { FIRST_INHERITED, launch, type Launched, type LaunchOptions } from '../launch/executor.ts';
import type { LaunchPlan, Step } from '../launch/plan.ts';
import { MS_PRIVATE, MS_REC } from '../launch/mount-options.ts';
import { CLONE_NEWNS } from '../container/namespaces.ts';
import { INIT_PROGRAM, INTERNAL, OWN_CODE, SELF } from '../program.ts';
import { idMaps, writeIdMaps, type IdMaps } from './idmap.ts';
import { reachSteps, type Reach } from './reach.ts';
import { newUserNamespace } from './users-namespace.ts';

export interface NamespaceProgram {
  /** argv, or one of husk's internal programs (src/main.ts) */
  program: readonly string[] | { internal: string; args?: readonly string[] };
  /** @default 'null' */
  stdin?: LaunchOptions['stdin'];
  /** @default 'null' */
  stdout?: LaunchOptions['stdout'];
  /** @default this process's */
  stderr?: LaunchOptions['stderr'];
  /**
   * for husk run by root, whose data root is closed to other users: what the program must reach besides husk's own code
   */
  reach?: Reach;
  /** steps into existing namespaces, instead of a new user namespace */
  join?: readonly Step[];
  /** whether the program gets a mount namespace of its own, with nothing propagating out of it */
  mounts?: boolean;
  /** steps performed as root of the namespace, before the program: mounts, above all */
  steps?: readonly Step[];
  /** descriptors that the program inherits as FIRST_INHERITED and the numbers after it (executor.ts) */
  inherit?: readonly number[];
  /** NAME=value; @default this process's */
  env?: readonly string[];
  /** id maps, for callers that start many programs and compute the maps once */
  maps?: IdMaps;
}

/**
 * Starts the program with every capability in the namespace, uid and gid 0, and no supplementary groups.
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
    ...(options.join ?? enterUserNamespace(maps)),
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

/** most characters of each stream that are kept: an error shows the first line */
export const MAX_SAID = 4096;

/**
 * Runs a program like runInUserNamespace, and waits for its end. The end of the streams is awaited as well as the exit,
 * because a program that has ended may have written more than has been read.
 * @param options.onText called with all that the program prints
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

/** @returns steps into a new user namespace, as its root */
function enterUserNamespace(maps: IdMaps): Step[] {
  return [...newUserNamespace(maps), { op: 'setgroups', gids: [] }, { op: 'setgid', gid: 0 }, { op: 'setuid', uid: 0 }];
}

/** Adds what an internal program is made of, because husk may lie where only root can go. */
export function withOwnCode(reach: Reach = { kept: [] }): Reach {
  return { ...reach, kept: [...reach.kept, ...OWN_CODE, SELF[0]] };
}

function privateMounts(): Step[] {
  return [
    { op: 'unshare', flags: CLONE_NEWNS },
    { op: 'mount', source: '', target: '/', fstype: '', flags: MS_REC | MS_PRIVATE, data: '' },
  ];
}
