/**
 * Turns an OCI spec into a launch plan. The same plan serves the host (user namespaces) and the guest (real root in the
 * VM); `PlanContext` says which. The planner asks the host a single question, `cgroup2`, which the caller may answer
 * instead.
 *
 * The order is that of runc and crun: join shared namespaces → new user namespace → id maps → the other namespaces
 * → fork into the pid namespace → cgroup and network → mounts → pivot_root → sysctls, masks → identity → exec.
 */
import { HuskError } from '../errors.ts';
import { CGROUP_ROOT, isUnified } from './cgroup/delegation.ts';
import { deviceSteps } from './devices.ts';
import { processSteps } from './identity.ts';
import type { LaunchPlan, Step } from '../launch/plan.ts';
import { MS_BIND, MS_RDONLY, MS_REMOUNT, MOUNT_ATTR_RDONLY } from '../launch/mount-options.ts';
import type { ImageRoots } from './image-mounts.ts';
import { mountSteps } from './mounts.ts';
import {
  CLONE_NEWCGROUP,
  CLONE_NEWIPC,
  CLONE_NEWNET,
  CLONE_NEWNS,
  CLONE_NEWPID,
  CLONE_NEWTIME,
  CLONE_NEWUSER,
  CLONE_NEWUTS,
  isolates,
  namespaces,
  type Namespaces,
} from './namespaces.ts';
import { rootfsSteps, rootPath, type PlanRootfs } from './rootfs.ts';
import { cachedFilter } from './seccomp/cache.ts';
import { compileSeccomp, type CompiledFilter } from './seccomp/compile.ts';
import { SIGKILL } from '../notation/signals.ts';
import type { ProcessSpec, Seccomp, Spec } from '../spec.ts';

/** inode(7) */
const S_IFREG = 0o100000;
const EMPTY_FILE_MODE = 0o755;

export type { PlanRootfs } from './rootfs.ts';

export interface PlanContext {
  /**
   * Whether the executor is not the real root: devices are then bound instead of made, overlay keeps its attributes in
   * user.*, proc and sysfs are bound where their namespace is the host's. True on the host, false in the VM's guest.
   */
  rootless: boolean;
  /** whether overlay keeps its attributes in user.* @default as `rootless` */
  userXattr?: boolean;
  /**
   * the `await` tags that the parent wants; a new user namespace adds `idmap` by itself, unless `userNamespace` maps it
   */
  waitFor?: { cgroup?: boolean; network?: boolean; exec?: boolean };
  /**
   * Whether the caller is not root of the container's user namespace (`--userns keep-id`): the plan then becomes root
   * only when the network is connected. A process that has changed its user is not dumpable, and a caller without real
   * root may then not open the process's namespaces (ptrace(2)).
   */
  lateRoot?: boolean;
  /** the steps into a new user namespace; @default unshare, and `await idmap` */
  userNamespace?: readonly Step[];
  /** the step that makes sockets in the network namespace, before `await network` */
  sockets?: Extract<Step, { op: 'sockets' }>;
  /** whether a reaper is PID 1, for `--init` */
  init?: boolean;
  /** whether the host's /sys/fs/cgroup is cgroup v2 (not v1 or hybrid); @default looked up */
  cgroup2?: boolean;
  /** the signal at the death of the executor's parent and of the monitor; @default SIGKILL; 0: none */
  parentDeathSignal?: number;
  /** the images that the spec's mounts name */
  images?: ImageRoots;
  /** steps before the root's mount, in the container's namespaces: for what the spec's mounts name as sources */
  prepare?: readonly Step[];
  /** folder that keeps compiled seccomp filters (seccomp/cache.ts); absent: a filter is compiled at each start */
  filterCache?: string;
}

/** @throws HuskError `invalid` for a spec without meaning, `limit` for too many layers */
export function planContainer(spec: Spec, rootfs: PlanRootfs, context: PlanContext): LaunchPlan {
  const spaces = namespaces(spec);
  if (!(spaces.made & CLONE_NEWNS))
    throw new HuskError('the spec has no mount namespace of its own', { kind: 'invalid' });
  const deathSignal = context.parentDeathSignal ?? SIGKILL;
  const ownUts = (spaces.made & CLONE_NEWUTS) !== 0;
  const ownDev = !spec.mounts.some(
    ({ destination, type, options }) =>
      destination === '/dev' &&
      (type === 'bind' || type === 'image' || options?.includes('bind') || options?.includes('rbind')),
  );
  const root = rootPath(rootfs);
  const plan: Step[] = [];
  if (deathSignal) plan.push({ op: 'parentDeathSignal', signal: deathSignal });
  plan.push(...namespaceSteps(spaces, spec, context, deathSignal));
  plan.push(
    ...rootfsSteps(rootfs, spec, { userXattr: context.userXattr ?? context.rootless, prepare: context.prepare }),
  );
  plan.push(
    ...mountSteps(spec.mounts, {
      ownPid: !context.rootless || isolates(spaces, CLONE_NEWPID),
      ownNetwork: !context.rootless || isolates(spaces, CLONE_NEWNET),
      cgroup2:
        (context.cgroup2 ?? isUnified(CGROUP_ROOT)) && (!context.rootless || (spaces.made & CLONE_NEWCGROUP) !== 0),
      images: context.images,
    }),
  );
  if (ownDev) plan.push(...deviceSteps(spec.linux.devices ?? [], { bind: context.rootless }));
  plan.push({ op: 'pivotRoot', path: root }, { op: 'setRoot', path: '/' });
  for (const path of spec.root.emptyFiles ?? [])
    plan.push({ op: 'mknod', path, mode: S_IFREG | EMPTY_FILE_MODE, major: 0, minor: 0, inRoot: true });
  if (spec.root.readonly) {
    // The `chdir` step could no longer make the folder once the root is read-only.
    if (rootfs.kind === 'overlay' && spec.process.cwd !== '/')
      plan.push({ op: 'mkdir', path: spec.process.cwd, mode: 0o755, inRoot: true });
    plan.push(rootReadonly(rootfs));
  }
  if (ownUts && spec.hostname) plan.push({ op: 'sethostname', name: spec.hostname });
  if (ownUts && spec.domainname) plan.push({ op: 'setdomainname', name: spec.domainname });
  for (const [name, value] of Object.entries(spec.linux.sysctl ?? {}))
    plan.push({ op: 'writeFile', path: sysctlPath(name), content: value, inRoot: true });
  for (const path of spec.linux.readonlyPaths ?? []) plan.push({ op: 'readonlyPath', path });
  for (const path of spec.linux.maskedPaths ?? []) plan.push({ op: 'maskPath', path });
  plan.push(
    ...processSteps(spec.process, {
      console: ownDev,
      makeFolder: true,
      filter: filterFor(spec, context.filterCache),
      awaitExec: context.waitFor?.exec ?? false,
      reaper: context.init ?? false,
      parentDeathSignal: deathSignal,
    }),
  );
  return plan;
}

/** The container's start and each of its execs use the same profile object, so its filter is compiled once. */
const compiled = new WeakMap<Seccomp, CompiledFilter>();

function filterFor(spec: Spec, cache: string | undefined): CompiledFilter | undefined {
  const { seccomp } = spec.linux;
  if (seccomp === undefined) return undefined;
  let filter = compiled.get(seccomp);
  if (!filter) {
    filter = cache === undefined ? compileSeccomp(seccomp) : cachedFilter(seccomp, cache);
    compiled.set(seccomp, filter);
  }
  return filter;
}

/**
 * Makes everything before the first mount: afterwards the plan runs as root of the container's user namespace, in a
 * child, with its cgroup.
 */
function namespaceSteps(spaces: Namespaces, spec: Spec, context: PlanContext, deathSignal: number): Step[] {
  const steps: Step[] = [];
  let toJoin = spaces.joined;
  const oomScore: Step[] =
    spec.process.oomScoreAdj === undefined
      ? []
      : [{ op: 'writeFile', path: '/proc/self/oom_score_adj', content: String(spec.process.oomScoreAdj) }];
  // A process that has joined others is hidden, and its /proc/self is closed even to itself, so its score is written
  // before; the monitor then has the same score.
  if (toJoin.length > 0) steps.push(...oomScore);
  if (toJoin[0]?.type === CLONE_NEWUSER) {
    steps.push({ op: 'setns', path: toJoin[0].path, type: CLONE_NEWUSER }, ...(context.lateRoot ? [] : becomeRoot()));
    toJoin = toJoin.slice(1);
  }
  // The other namespaces are joined while still outside of a new user namespace, where the right to enter them is.
  for (const { path, type } of toJoin) steps.push({ op: 'setns', path, type });
  if (spaces.made & CLONE_NEWUSER)
    steps.push(...(context.userNamespace ?? NEW_USER_NAMESPACE), ...(context.lateRoot ? [] : becomeRoot()));
  // A cgroup namespace's root is the cgroup at the time of unshare (cgroup_namespaces(7)), so the namespace waits until
  // the parent has moved the process. The IPC namespace waits for the root user, because its maker owns the root of its
  // message queues.
  const late = CLONE_NEWUSER | CLONE_NEWCGROUP | (context.lateRoot ? CLONE_NEWIPC : 0);
  steps.push({ op: 'unshare', flags: spaces.made & ~late });
  // A process never enters the pid (or time) namespace that it made; its child does.
  steps.push({ op: 'fork' });
  if (deathSignal) steps.push({ op: 'parentDeathSignal', signal: deathSignal });
  steps.push({ op: 'setsid' }, { op: 'newSessionKeyring' });
  if (toJoin.length === 0) steps.push(...oomScore);
  if (context.waitFor?.cgroup) steps.push({ op: 'await', tag: 'cgroup' });
  if (spaces.made & CLONE_NEWNET) steps.push({ op: 'loopbackUp' });
  if (spaces.made & CLONE_NEWCGROUP) steps.push({ op: 'unshare', flags: CLONE_NEWCGROUP });
  if (context.waitFor?.network)
    steps.push(...(context.sockets ? [context.sockets] : []), { op: 'await', tag: 'network' });
  if (context.lateRoot)
    steps.push(
      ...becomeRoot(),
      ...(spaces.made & CLONE_NEWIPC ? [{ op: 'unshare' as const, flags: CLONE_NEWIPC }] : []),
    );
  return steps;
}

const NEW_USER_NAMESPACE: readonly Step[] = [
  { op: 'unshare', flags: CLONE_NEWUSER },
  { op: 'await', tag: 'idmap' },
];

/**
 * Takes on root of a new user namespace, where a process has no id until it takes a mapped one, but all capabilities.
 */
function becomeRoot(): Step[] {
  return [
    { op: 'setgroups', gids: [] },
    { op: 'setgid', gid: 0 },
    { op: 'setuid', uid: 0 },
  ];
}

/**
 * An overlay mount of husk's own is remounted; a bind mount from outside may have flags that a user namespace must
 * keep.
 */
function rootReadonly(rootfs: PlanRootfs): Step {
  if (rootfs.kind === 'overlay')
    return { op: 'mount', source: '', target: '/', fstype: '', flags: MS_BIND | MS_REMOUNT | MS_RDONLY, data: '' };
  return { op: 'mountAttributes', target: '/', set: MOUNT_ATTR_RDONLY, clear: 0, recursive: false };
}

/**
 * Turns `net.ipv4.ip_forward` into /proc/sys/net/ipv4/ip_forward. As in sysctl(8), dots are part of a name where the
 * first separator is a slash (`net/ipv4/conf/eth0.1/forwarding`).
 * @throws HuskError `invalid` for a name that would leave /proc/sys
 */
function sysctlPath(name: string): string {
  const parts = /^[^.]*\//.test(name) ? name.split('/') : name.split('.').map((part) => part.replaceAll('/', '.'));
  if (name.includes('\0') || parts.some((part) => part === '' || part === '.' || part === '..'))
    throw new HuskError(`invalid sysctl name "${name}"`, { kind: 'invalid' });
  return `/proc/sys/${parts.join('/')}`;
}

export interface ExecContext {
  /** pid of the container's first process, in this process's pid namespace */
  pid: number;
  /** see PlanContext */
  rootless: boolean;
  waitFor?: { cgroup?: boolean };
  parentDeathSignal?: number;
  /** see PlanContext */
  filterCache?: string;
}

/** Plans another process in a running container: the process joins every namespace that is not the host's. */
export function planExec(spec: Spec, process: ProcessSpec, context: ExecContext): LaunchPlan {
  const spaces = namespaces(spec);
  const all = spaces.joined.reduce((flags, { type }) => flags | type, spaces.made) & ~CLONE_NEWTIME;
  const deathSignal = context.parentDeathSignal ?? SIGKILL;
  const plan: Step[] = [];
  if (deathSignal) plan.push({ op: 'parentDeathSignal', signal: deathSignal });
  // The exec joins the cgroup namespace too: what it shows does not depend on where the joining process is.
  plan.push({ op: 'setnsPid', pid: context.pid, types: all });
  if (all & CLONE_NEWUSER) plan.push(...becomeRoot());
  plan.push({ op: 'fork' });
  if (deathSignal) plan.push({ op: 'parentDeathSignal', signal: deathSignal });
  plan.push({ op: 'setsid' }, { op: 'newSessionKeyring' });
  if (context.waitFor?.cgroup) plan.push({ op: 'await', tag: 'cgroup' });
  plan.push({ op: 'setRoot', path: '/' });
  plan.push(
    ...processSteps(process, {
      console: false,
      makeFolder: false,
      filter: filterFor(spec, context.filterCache),
      awaitExec: false,
      reaper: false,
      parentDeathSignal: deathSignal,
    }),
  );
  return plan;
}
