/**
 * Mounts fuse-overlayfs(1) where the kernel's overlay cannot serve: before Linux 5.11, or with the data root on a file
 * system that cannot hold an upper layer. It runs in a user and a mount namespace of its own, which the container then
 * joins; it ends when the container does.
 */
import { readFileSync } from 'node:fs';
import { release } from 'node:os';
import { launch } from '../launch/executor.ts';
import { MS_PRIVATE, MS_REC } from '../launch/mount-options.ts';
import { CLONE_NEWNS, CLONE_NEWUSER } from '../container/namespaces.ts';
import type { Step } from '../launch/plan.ts';
import { givingSteps, overlayOptions, readOnlyOverlay, type PlanRootfs } from '../container/rootfs.ts';
import { SIGKILL } from '../notation/signals.ts';
import type { Spec } from '../spec.ts';
import { EXIT_HUSK_FAILED, EXIT_NOT_FOUND, HuskError } from '../errors.ts';
import { after } from '../long-timer.ts';
import { INIT_PROGRAM } from '../program.ts';
import { writeIdMaps, type IdMaps } from './idmap.ts';
import { withOwnCode } from './namespace.ts';
import { atLeast, fileSystem } from './probe.ts';
import { reachSteps, type Reach } from './reach.ts';
import { newUserNamespace } from './users-namespace.ts';

export type OverlayRootfs = Extract<PlanRootfs, { kind: 'overlay' }>;

/** ms until the file system must be mounted, and ms between two checks */
const READY_TIMEOUT = 10_000;
const READY_POLL = 5;
/** most bytes of the program's messages that are kept for an error */
const MAX_SAID = 4096;
/** overlay refuses its own kind as an upper layer, and file systems without xattrs or d_type */
const NO_UPPER = new Set(['overlay', 'nfs', 'cifs', 'smb2', 'fuse', '9p', 'vfat', 'exfat', 'ecryptfs']);

/** @returns `kernel` wherever it works, because it is several times faster; `HUSK_OVERLAY` overrides the choice */
export function overlayKind(dataRoot: string, env: NodeJS.ProcessEnv = process.env): 'kernel' | 'fuse' {
  const asked = env['HUSK_OVERLAY'];
  if (asked === 'kernel' || asked === 'fuse') return asked;
  return atLeast(release(), 5, 11) && !NO_UPPER.has(fileSystem(dataRoot).name) ? 'kernel' : 'fuse';
}

export interface FuseOverlay {
  /** pid of the process that owns the namespaces */
  readonly pid: number;
  close(): Promise<void>;
}

export interface FuseOptions {
  maps: IdMaps;
  /**
   * for husk run by root: what the container's root, and a program of husk's in the same mount namespace, must reach
   */
  reach?: Reach;
  /** path of the user namespace of a container that is joined */
  userNamespace?: string;
  /** an overlay that is mounted already, whose namespaces the new one is to share */
  beside?: FuseOverlay;
}

/** @throws HuskError `unsupported` with the fix */
export function mountFuseOverlay(rootfs: OverlayRootfs, options: FuseOptions): Promise<FuseOverlay> {
  return mountAt(
    rootfs.merged,
    { ...overlayOptions(rootfs, { userXattr: false }), steps: givingSteps(rootfs) },
    options,
  );
}

/**
 * Mounts folders that are only read; `directory` as for readOnlyOverlay.
 * @throws HuskError `unsupported` with the fix
 */
export function mountReadOnlyFuseOverlay(
  { lower, directory, target }: { lower: readonly string[]; directory: string; target: string },
  options: FuseOptions,
): Promise<FuseOverlay> {
  return mountAt(target, { directory, data: readOnlyOverlay(lower, directory, { userXattr: false }) }, options);
}

async function mountAt(
  target: string,
  { directory, data, steps = [] }: { directory: string; data: string; steps?: readonly Step[] },
  { maps, reach, userNamespace, beside }: FuseOptions,
): Promise<FuseOverlay> {
  const launched = launch(
    [
      { op: 'parentDeathSignal', signal: SIGKILL },
      ...(beside ? joinSteps(beside) : ownNamespaces({ maps, reach, userNamespace })),
      ...steps,
      { op: 'fork' },
      { op: 'setsid' },
      { op: 'chdir', path: directory },
      { op: 'closeFrom', fd: 3 },
      { op: 'environment', env: [`PATH=${process.env['PATH'] ?? ''}:/usr/bin:/bin`, 'LC_ALL=C'] },
      { op: 'exec', args: ['fuse-overlayfs', '-f', '-o', data, target] },
    ],
    {
      init: INIT_PROGRAM,
      stdin: 'null',
      stdout: 'null',
      stderr: 'pipe',
      onAwait: (_tag, pid) => writeIdMaps(pid, maps),
    },
  );
  let said = '';
  launched.stderr!.setEncoding('utf8').on('data', (text: string) => (said = (said + text).slice(0, MAX_SAID)));
  let ended = false;
  void launched.exited.then(() => (ended = true));
  const close = async () => {
    launched.signal(SIGKILL);
    await launched.exited;
  };
  try {
    await launched.started;
    const pid = await launched.pid;
    const deadline = performance.now() + READY_TIMEOUT;
    while (!isMounted(pid, target)) {
      if (ended || performance.now() > deadline)
        throw new HuskError(`cannot mount the container's root with fuse-overlayfs: ${reason(said)}`, {
          kind: 'unsupported',
          exitCode: EXIT_HUSK_FAILED,
          fix: 'see husk doctor',
        });
      await after(READY_POLL);
    }
    return { pid, close };
  } catch (error) {
    await close();
    if (error instanceof HuskError && error.exitCode === EXIT_NOT_FOUND)
      throw new HuskError(
        "cannot mount the container's root: the kernel's overlay cannot be used here, and fuse-overlayfs is not installed",
        {
          kind: 'unsupported',
          exitCode: EXIT_HUSK_FAILED,
          fix: 'apt install fuse-overlayfs (or use Linux 5.11 and a data root on ext4, xfs or btrfs)',
          cause: error,
        },
      );
    throw error;
  }
}

function ownNamespaces({ maps, reach, userNamespace }: Omit<FuseOptions, 'beside'>): Step[] {
  return [
    ...(maps.direct ? reachSteps(withOwnCode(reach)) : []),
    ...(userNamespace === undefined
      ? newUserNamespace(maps)
      : [{ op: 'setns' as const, path: userNamespace, type: CLONE_NEWUSER }]),
    ...becomeRoot(),
    { op: 'unshare', flags: CLONE_NEWNS },
    { op: 'mount', source: '', target: '/', fstype: '', flags: MS_REC | MS_PRIVATE, data: '' },
  ];
}

/**
 * Makes the container's plan run in the namespaces of fuse-overlayfs: the steps come first, and the container has no
 * user namespace of its own. `lateRoot` is that of the plan's context.
 */
export function joinFuseOverlay(
  fuse: FuseOverlay,
  spec: Spec,
  { lateRoot }: { lateRoot: boolean },
): { steps: Step[]; spec: Spec } {
  return {
    steps: lateRoot ? [enterStep(fuse)] : joinSteps(fuse),
    spec: {
      ...spec,
      linux: { ...spec.linux, namespaces: spec.linux.namespaces.filter(({ type }) => type !== 'user') },
    },
  };
}

/** @returns steps into the namespaces that have the mount, as their root */
export function joinSteps(fuse: FuseOverlay): Step[] {
  return [enterStep(fuse), ...becomeRoot()];
}

function enterStep(fuse: FuseOverlay): Step {
  return { op: 'setnsPid', pid: fuse.pid, types: CLONE_NEWUSER | CLONE_NEWNS };
}

export function becomeRoot(): Step[] {
  return [
    { op: 'setgroups', gids: [] },
    { op: 'setgid', gid: 0 },
    { op: 'setuid', uid: 0 },
  ];
}

/** @returns whether field 5 of a line in proc_pid_mountinfo(5) is the folder */
function isMounted(pid: number, folder: string): boolean {
  try {
    return readFileSync(`/proc/${pid}/mountinfo`, 'utf8')
      .split('\n')
      .some((line) => line.split(' ')[4] === folder.replaceAll(' ', '\\040'));
  } catch {
    return false;
  }
}

function reason(said: string): string {
  const line = said
    .split('\n')
    .filter((text) => text !== '' && !text.startsWith('unknown argument ignored'))
    .at(-1);
  return line ?? 'it ended without a word';
}
