/**
 * A ContainerCgroup is a container's cgroup (v2): it is made, limited, filled, read, frozen, emptied and removed here.
 * files.ts decides what to write, delegation.ts where.
 *
 * A container's cgroup is `husk-<id>`. In a systemd scope the supervisor is in the cgroup that must give its children
 * controllers (the no-internal-processes rule), so it moves itself into a second leaf, `supervisor-<id>`.
 */
import { accessSync, constants, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { HuskError } from '../../errors.ts';
import { pidfdOpen, pidfdSignal } from '../../host/kernel/process.ts';
import { after } from '../../long-timer.ts';
import { controllerFix, findDelegation, type Delegation } from './delegation.ts';
import { controllerOf, resourcesToFiles, type CgroupFile } from './files.ts';
import { cgroupName, rememberCgroup, removeTree } from './remains.ts';
import { parseCgroupStats, parseKeyed, type CgroupStats } from './stats.ts';
import { SIGKILL } from '../../notation/signals.ts';
import type { Resources } from '../../spec.ts';
import { containerScope, enterScope } from './systemd-scope.ts';

const WANTED = ['cpuset', 'cpu', 'io', 'memory', 'pids'];
/** bytes, NAME_MAX of linux/limits.h */
const MAX_NAME = 255;
/**
 * How often, and at what distance in ms, husk checks whether a cgroup is empty or frozen: ten seconds in all. A process
 * that has used more than its CPU quota freezes, or ends, only when it gets its next quota.
 */
const TRIES = 1000;
const PAUSE_MS = 10;

/**
 * Checks whether these limits can be enforced here. `create` asks, so that the user learns of a problem then.
 * @returns warnings in the daemon's words
 * @throws HuskError `unsupported` naming the first flag that cannot be enforced, and what to change
 */
export function checkLimits(resources: Resources, delegation: Delegation): string[] {
  const { files, warnings } = resourcesToFiles(resources);
  for (const file of files) refuseMissing(file, delegation);
  return warnings;
}

function refuseMissing(file: CgroupFile, delegation: Delegation): void {
  if (delegation.kind === 'none')
    throw new HuskError(`cannot enforce ${file.what}: ${delegation.reason}`, {
      kind: 'unsupported',
      fix: delegation.fix,
    });
  const controller = controllerOf(file.name);
  if (delegation.controllers.includes(controller)) return;
  const fix = delegation.kind === 'delegated' && delegation.fix !== undefined ? delegation.fix : controllerFix();
  throw new HuskError(`cannot enforce ${file.what}: the cgroup controller "${controller}" is not delegated to you`, {
    kind: 'unsupported',
    fix,
  });
}

export class ContainerCgroup {
  readonly path: string;
  readonly #leaf: string | undefined;

  private constructor(path: string, leaf: string | undefined) {
    this.path = path;
    this.#leaf = leaf;
  }

  /**
   * Makes the cgroup and writes the limits.
   * @param options.parent the delegated cgroup (of `findDelegation`, or the scope that systemd-scope.ts asked for)
   * @param options.supervisor pid to move into a leaf of its own when it stands in `parent`
   * @throws HuskError `unsupported` when a limit cannot be written
   */
  static create(id: string, resources: Resources, options: { parent: string; supervisor: number }): ContainerCgroup {
    const { parent } = options;
    makeParents(parent);
    sweep(parent);
    const leaf = leaveParent(parent, id, options.supervisor);
    enableControllers(parent);
    const cgroup = new ContainerCgroup(join(parent, cgroupName(id)), leaf);
    mkdirSync(cgroup.path, { recursive: true });
    try {
      cgroup.update(resources);
    } catch (error) {
      cgroup.#removeFolders();
      throw error;
    }
    return cgroup;
  }

  /** Opens an existing cgroup, for a command that looks at it and is not the supervisor. */
  static open(path: string): ContainerCgroup {
    return new ContainerCgroup(path, undefined);
  }

  /** @throws HuskError `unsupported` with the file, the value and the kernel's reason */
  update(resources: Resources): void {
    for (const { name, value, what } of resourcesToFiles(resources).files) {
      try {
        writeFileSync(join(this.path, this.#fileFor(name)), value);
      } catch (error) {
        const { code } = error as NodeJS.ErrnoException;
        const missing = code === 'ENOENT' || code === 'EACCES';
        throw new HuskError(
          `cannot enforce ${what}: ${missing ? `the cgroup controller "${controllerOf(name)}" is not available in ${this.path}` : `writing "${value}" to ${join(this.path, name)}: ${code}`}`,
          {
            kind: 'unsupported',
            fix: missing ? controllerFix() : undefined,
            cause: error,
          },
        );
      }
    }
  }

  /** @returns the name of the file; the bfq scheduler has a weight file of its own */
  #fileFor(name: string): string {
    if (name !== 'io.weight') return name;
    return has(join(this.path, name)) ? name : 'io.bfq.weight';
  }

  /** Moves a process into the cgroup: cgroup.procs takes one pid at each write. */
  enter(pid: number): void {
    writeFileSync(join(this.path, 'cgroup.procs'), String(pid));
  }

  /** pids in this process's pid namespace, those of nested cgroups included */
  processes(): number[] {
    return listProcesses(this.path);
  }

  stats(): CgroupStats {
    return parseCgroupStats((file) => read(join(this.path, file)));
  }

  /** @returns whether the kernel's OOM killer has ended a process here */
  oomKilled(): boolean {
    return (parseKeyed(read(join(this.path, 'memory.events')) ?? '').get('oom_kill') ?? 0) > 0;
  }

  /**
   * Freezes or thaws. The promise resolves when every process has stopped, or runs again.
   * @throws HuskError `unavailable` after ten seconds; then no process is frozen
   */
  async freeze(frozen: boolean): Promise<void> {
    const file = join(this.path, 'cgroup.freeze');
    writeFileSync(file, frozen ? '1' : '0');
    const state = frozen ? 1 : 0;
    for (let count = 0; count < TRIES; count++) {
      if (parseKeyed(read(join(this.path, 'cgroup.events')) ?? '').get('frozen') === state) return;
      await after(PAUSE_MS);
    }
    if (frozen) writeFileSync(file, '0');
    throw new HuskError(
      `cannot ${frozen ? 'pause' : 'unpause'} the container: ${this.path} does not ${frozen ? 'freeze' : 'thaw'}`,
      { kind: 'unavailable' },
    );
  }

  /** Sends SIGKILL to every process at once, forks included (cgroup.kill, Linux 5.14; one by one before that). */
  kill(): void {
    try {
      writeFileSync(join(this.path, 'cgroup.kill'), '1');
    } catch {
      for (const pid of this.processes()) this.#killMember(pid);
    }
  }

  /** Holds the process by a pidfd and then looks for it again: its pid may have become another's since it was read. */
  #killMember(pid: number): void {
    try {
      using held = pidfdOpen(pid);
      if (this.processes().includes(pid)) pidfdSignal(held.number, SIGKILL);
    } catch {
      // The process has ended.
    }
  }

  /**
   * Kills the remaining processes and removes the folders. The call is idempotent.
   * @throws HuskError `unavailable` when the folders are not empty within ten seconds
   */
  async remove(): Promise<void> {
    for (let count = 0; count < TRIES; count++) {
      if (this.#removeFolders()) return;
      this.kill();
      await after(PAUSE_MS);
    }
    throw new HuskError(`cannot remove the cgroup ${this.path}: processes ${this.processes().join(', ')} do not end`, {
      kind: 'unavailable',
    });
  }

  #removeFolders(): boolean {
    if (!removeTree(this.path)) return false;
    // The supervisor itself is still in its leaf, which goes with the scope, or is removed by the next supervisor.
    if (this.#leaf !== undefined) removeTree(this.#leaf);
    return true;
  }
}

/**
 * @returns the container's cgroup with its limits written, where this host lets the user have one; undefined where
 * there is none and no limit needs one: pause, stats and OOM reports are then missing
 * @param options.supervisor pid of the process that stays beside the container
 * @param options.directory the container's folder, which remembers where its cgroup is (remains.ts)
 * @param options.cgroupsPath the spec's: `--cgroup-parent`, a slash, the id
 * @param options.scope gives the scope of the user's systemd, for who has several containers beside one process: it
 * asks once, as the process would leave the one for the next, and an empty scope is removed
 * @param options.whileAsking called when the user's systemd is asked, which takes as long as the rest of a start
 * @throws HuskError `unsupported` naming the limit that cannot be enforced, and the fix
 */
export async function containerCgroup(
  id: string,
  resources: Resources,
  {
    supervisor,
    directory,
    cgroupsPath,
    scope,
    whileAsking,
  }: {
    supervisor: number;
    directory: string;
    cgroupsPath?: string;
    scope?: (make: () => Promise<string>) => Promise<string>;
    whileAsking?: () => void;
  },
): Promise<ContainerCgroup | undefined> {
  const delegation = findDelegation({ runtimeDir: process.env['XDG_RUNTIME_DIR'] });
  checkLimits(resources, delegation);
  const below = cgroupsPath === undefined ? undefined : dirname(cgroupsPath);
  if (below !== undefined) checkCgroupParent(below, delegation);
  if (delegation.kind === 'none') return undefined;
  if (delegation.kind === 'systemd') whileAsking?.();
  const enter = () => enterScope(containerScope(id, supervisor, below));
  try {
    const parent =
      delegation.kind === 'delegated' ? join(delegation.path, below ?? '') : await (scope ? scope(enter) : enter());
    const path = join(parent, cgroupName(id));
    rememberCgroup(directory, path);
    // A cgroup left by an earlier supervisor that was killed goes: its counts of OOM kills and CPU time are of another
    // run.
    await ContainerCgroup.open(path).remove();
    return ContainerCgroup.create(id, resources, { parent, supervisor });
  } catch (error) {
    // A container without limits runs as well without a cgroup of its own.
    if (below === undefined && resourcesToFiles(resources).files.length === 0) return undefined;
    throw error;
  }
}

/**
 * Moves the supervisor out of `parent`, because a cgroup with processes cannot give its children controllers.
 * @returns the leaf, or undefined when nothing had to move, or when `parent` holds other processes, which husk must not
 * move
 */
function leaveParent(parent: string, id: string, supervisor: number): string | undefined {
  const there = pids(join(parent, 'cgroup.procs'));
  if (there.length === 0 || there.some((pid) => pid !== supervisor)) return undefined;
  const leaf = join(parent, `supervisor-${id}`);
  mkdirSync(leaf, { recursive: true });
  writeFileSync(join(leaf, 'cgroup.procs'), String(supervisor));
  return leaf;
}

/**
 * Makes root's own folder at the top of the tree, and the folders of `--cgroup-parent`. A folder can have only the
 * controllers that the one above it gives.
 */
function makeParents(path: string): void {
  if (has(path)) return;
  makeParents(dirname(path));
  enableControllers(dirname(path));
  mkdirSync(path, { recursive: true });
}

/**
 * Checks where `--cgroup-parent` leads: to a folder below what is delegated, made when missing. Docker's is below the
 * host's root, which an ordinary user may not change.
 * @throws HuskError `invalid` in Docker's words where the user's systemd makes the cgroups, `unsupported` where no
 * cgroup can be made
 */
export function checkCgroupParent(parent: string, delegation: Delegation): void {
  if (delegation.kind === 'none')
    throw new HuskError(`cannot enforce --cgroup-parent: ${delegation.reason}`, {
      kind: 'unsupported',
      fix: delegation.fix,
    });
  const parts = parent.split('/').filter((part) => part !== '');
  // Each part becomes a folder: it must not lead up, nor be a control file's name or a cgroup of husk's own.
  if (
    parts.length === 0 ||
    parent.includes('\0') ||
    parts.some(
      (part) =>
        part === '..' ||
        part === '.' ||
        part.length > MAX_NAME ||
        /^(husk|supervisor)-[0-9a-f]{64}$/.test(part) ||
        /^(cgroup|cpu|cpuset|io|memory|pids|hugetlb|rdma|misc|irq)\./.test(part),
    )
  )
    throw new HuskError(`invalid cgroup parent "${parent}"`, { kind: 'invalid' });
  if (delegation.kind === 'systemd' && !(parts.length === 1 && /^[A-Za-z0-9:_.\\-]+\.slice$/.test(parts[0]!)))
    throw new HuskError('cgroup-parent for systemd cgroup should be a valid slice named as "xxx.slice"', {
      kind: 'invalid',
    });
}

/**
 * Removes the leaves of earlier supervisors, which could not remove the leaf they ended in. A supervisor that still
 * lives keeps its folder (EBUSY).
 */
function sweep(parent: string): void {
  for (const path of children(parent)) if (basename(path).startsWith('supervisor-')) removeTree(path);
}

/** Enables the controllers one at a time, so that one that cannot be had does not cost the others. */
function enableControllers(parent: string): void {
  const available = new Set((read(join(parent, 'cgroup.controllers')) ?? '').trim().split(/\s+/));
  for (const controller of WANTED.filter((name) => available.has(name))) {
    try {
      writeFileSync(join(parent, 'cgroup.subtree_control'), `+${controller}`);
    } catch {
      // A limit that needs this controller is refused when it is written.
    }
  }
}

function listProcesses(path: string): number[] {
  return [...pids(join(path, 'cgroup.procs')), ...children(path).flatMap(listProcesses)];
}

function children(path: string): string[] {
  try {
    return readdirSync(path, { withFileTypes: true })
      .filter((entry) => entry.isDirectory())
      .map((entry) => join(path, entry.name));
  } catch {
    return [];
  }
}

function pids(file: string): number[] {
  return (read(file) ?? '')
    .split('\n')
    .filter(Boolean)
    .map(Number)
    .filter((pid) => pid > 0);
}

function read(file: string): string | undefined {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return undefined;
  }
}

function has(file: string): boolean {
  try {
    accessSync(file, constants.F_OK);
    return true;
  } catch {
    return false;
  }
}
