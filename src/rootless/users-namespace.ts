/**
 * The one user namespace of a user, inside of which the containers have theirs. It takes newuidmap and newgidmap once,
 * and then each container's own namespace takes 0.2 ms; and only where both are below one user namespace may anybody
 * connect the network namespaces of two containers.
 *
 * Its ids count from 1, so that it has no root: nobody is uid 0 there, and a file's capabilities, which count below the
 * namespace whose root has set them (capabilities(7) § Namespaced file capabilities), count in no container because of
 * it. Nothing runs in it but husk-init on its way into a namespace of a container's own. A container is given no right
 * in it: its user namespace is a child, and a child cannot enter, or even open, the one around it.
 *
 * It is there as long as a container's is, and is found by way of those who hold it (holders.ts). Nothing else is
 * needed: no process of its own, no mount. Where nobody holds it, the first container's own plan makes it on its way.
 */
import { join } from 'node:path';
import type { Fd } from '../host/fd.ts';
import { namespaceName } from '../host/kernel/namespace.ts';
import { CLONE_NEWUSER } from '../container/namespaces.ts';
import { launch, type Sockets } from '../launch/executor.ts';
import { explainLaunchError } from '../launch/failure.ts';
import type { Step } from '../launch/plan.ts';
import { HuskError } from '../errors.ts';
import { INIT_PROGRAM } from '../program.ts';
import type { IdMapping } from '../spec.ts';
import { idMaps, writeIdMaps, type IdMaps } from './idmap.ts';
import {
  COUNTED,
  COUNTED_BUT_PROCESSES,
  PROCESSES,
  putBackLimits,
  raiseLimits,
  raiseProcesses,
  readLimits,
  type CountedLimit,
} from './counted-limits.ts';
import { findHeld, lockHolders, recordHolder, type Limits } from './holders.ts';
import { seenFrom } from './keep-id.ts';

export interface UsersNamespace {
  /** open as long as this process is there */
  readonly fd: Fd;
  /** of the namespace itself */
  readonly maps: IdMaps;
}

/** in the data root */
const FILE = 'users-namespace';
const FULL = new Set(['ENOSPC', 'EDQUOT']);
/** the first id: there is no 0 */
const FIRST_ID = 1;

/** of this process: it needs no second one */
let held: UsersNamespace | undefined;
let holding: Promise<UsersNamespace | undefined> | undefined;

/**
 * Finds the user's namespace, or makes it, and holds it for as long as this process is there.
 * @param folder where those who hold it are written down: the data root
 * @param options.make false: only finds it. @default true
 * @throws HuskError `unsupported` with the fix when this host or user cannot have it
 */
export function holdUsersNamespace(
  folder: string,
  { make = true }: { make?: boolean } = {},
): Promise<UsersNamespace | undefined> {
  holding ??= find(folder, make).then(
    (found) => {
      held = found;
      if (!found) holding = undefined;
      return found;
    },
    (error: unknown) => {
      holding = undefined;
      throw error;
    },
  );
  return holding;
}

async function find(folder: string, make: boolean): Promise<UsersNamespace | undefined> {
  using claim = await findOrClaim(folder, mapsAround(idMaps()));
  if (!claim) return held;
  return make ? await makeNamespace(claim) : undefined;
}

/**
 * As holdUsersNamespace, but that the caller makes it, when it has to be made, in a plan of his own: the steps are
 * newUserNamespace's, and the claim answers them.
 * @param maps of the container that is to be inside of it
 * @returns undefined: it is held, or has not all of the ids
 * @throws as holdUsersNamespace
 */
export async function claimUsersNamespace(folder: string, maps: IdMaps): Promise<Claim | undefined> {
  const around = mapsAround(idMaps());
  if (!mapInside(maps, around) || (await holding)) return undefined;
  return findOrClaim(folder, around);
}

/** @returns undefined: it was found, and is held from now on */
async function findOrClaim(folder: string, maps: IdMaps): Promise<Claim | undefined> {
  using claiming = new DisposableStack();
  const claim = claiming.use(new Claim(await lockHolders(join(folder, FILE)), maps));
  if (claim.find()) return undefined;
  claiming.move();
  return claim;
}

/**
 * The right to make the user's namespace: the list of holders, locked until it is made and this process is written
 * down there, or until the claim is disposed of. Whoever looks for it meanwhile waits, and then finds it or makes it.
 */
export class Claim implements Disposable {
  /** of the namespace to be made */
  readonly maps: IdMaps;
  readonly #lock: Fd;
  readonly #limits = readLimits();
  #fd: Fd | undefined;

  constructor(lock: Fd, maps: IdMaps) {
    this.#lock = lock;
    this.maps = maps;
  }

  /** Holds one that another process has. */
  find(): boolean {
    const found = findHeld(this.#lock, { maps: this.maps, atLeast: this.#limits.soft });
    if (found) this.#hold(found.fd, found.limits);
    return found !== undefined;
  }

  /**
   * Takes the descriptor out of what the plan has made.
   * @returns whether it was there
   */
  take({ 'user-namespace': fd }: Sockets): boolean {
    this.#fd ??= fd;
    return fd !== undefined;
  }

  /** Answers `await idmap` of the process that has made it. @throws HuskError as writeIdMaps */
  async fulfil(pid: number): Promise<UsersNamespace> {
    await writeIdMaps(pid, this.maps);
    if (!this.#fd) throw new HuskError('husk-init handed no user namespace over', { kind: 'internal' });
    const users = this.#hold(this.#fd, this.#limits.hard);
    this.#fd = undefined;
    return users;
  }

  #hold(fd: Fd, limits: Limits): UsersNamespace {
    try {
      recordHolder(this.#lock, {
        pid: process.pid,
        fd: fd.number,
        name: namespaceName(fd.number),
        maps: this.maps,
        limits,
      });
    } catch (error) {
      // on a full disk containers go on starting: who does not find this one makes another
      if (!FULL.has((error as NodeJS.ErrnoException).code ?? '')) throw error;
    }
    this.#lock.close();
    const users = { fd, maps: this.maps };
    useUsersNamespace(users);
    return users;
  }

  [Symbol.dispose](): void {
    this.#lock.close();
    this.#fd?.close();
  }
}

/** That which a network is in, and its containers have to be in. */
export function useUsersNamespace(users: UsersNamespace): void {
  held = users;
  holding = Promise.resolve(users);
}

/**
 * One that is found by what it owns: a network's.
 * @param fd is the namespace's from here on
 */
export const usersNamespaceOf = (fd: Fd): UsersNamespace => ({ fd, maps: mapsAround(idMaps()) });

/**
 * Writes down that another process holds it: it is found by way of that one too.
 * @param holder.fd its number there
 */
export async function noteHolder(
  folder: string,
  users: UsersNamespace,
  holder: { pid: number; fd: number },
): Promise<void> {
  using lock = await lockHolders(join(folder, FILE));
  // those of its maker are not known any more: no higher than this process could give it
  recordHolder(lock, { name: namespaceName(users.fd.number), maps: users.maps, limits: readLimits().hard, ...holder });
}

/** Steps into it, for what only leaves something behind there. */
export const enterUsersNamespace = (users: UsersNamespace): Step => ({
  op: 'setns',
  path: `/proc/${process.pid}/fd/${users.fd.number}`,
  type: CLONE_NEWUSER,
  visible: true,
});

/** The map of the namespace that has all ids of these maps. */
function mapsAround(maps: IdMaps): IdMaps {
  const shift = (lines: readonly IdMapping[]) =>
    lines.map((line) => ({ ...line, containerID: line.containerID + FIRST_ID }));
  return { ...maps, uid: shift(maps.uid), gid: shift(maps.gid) };
}

/** For a caller who has no plan of his own to make it in. */
async function makeNamespace(claim: Claim): Promise<UsersNamespace> {
  let made: UsersNamespace | undefined;
  const launched = launch([...makingSteps(COUNTED), { op: 'exit' }], {
    init: INIT_PROGRAM,
    stdin: 'null',
    stdout: 'null',
    stderr: 'null',
    onSockets: (sockets) => void claim.take(sockets),
    onAwait: async (_tag, pid) => void (made = await claim.fulfil(pid)),
  });
  try {
    await launched.started;
  } catch (error) {
    throw explainLaunchError(error, 'create');
  }
  return made!;
}

/**
 * Limits are as high as they may be while the namespace is made: they bound all containers together, for ever. What is
 * made in it afterwards has those of this process again. The descriptor comes before the maps, so that whoever writes
 * them has it.
 */
const makingSteps = (limits: readonly CountedLimit[]): Step[] => [
  ...raiseLimits(limits),
  { op: 'unshare', flags: CLONE_NEWUSER },
  { op: 'sockets', make: ['user-namespace'] },
  { op: 'await', tag: 'idmap' },
  ...putBackLimits(limits),
];

/**
 * Steps into a new user namespace with these maps: inside of the user's where this process holds it, or has claimed it,
 * and it has all the ids, which needs no more; else a namespace of its own, whose maps the parent writes at `await
 * idmap`.
 */
export function newUserNamespace(maps: IdMaps, users: UsersNamespace | Claim | null | undefined = held): Step[] {
  const mapUsers = users && mapInside(maps, users.maps);
  if (!users || !mapUsers)
    return [
      { op: 'unshare', flags: CLONE_NEWUSER },
      { op: 'await', tag: 'idmap' },
    ];
  const enter = (limits: readonly CountedLimit[]) =>
    users instanceof Claim ? makingSteps(limits) : [enterUsersNamespace(users)];
  return maps.direct ? asFirst(enter(COUNTED_BUT_PROCESSES), mapUsers) : [...enter(COUNTED), mapUsers];
}

/** The step into a namespace with these maps inside of one with those; undefined where that has not all of the ids. */
function mapInside(maps: IdMaps, around: IdMaps): Step | undefined {
  const uid = seenFrom(maps.uid, around.uid);
  const gid = seenFrom(maps.gid, around.gid);
  const hasAll = size(uid) === size(maps.uid) && size(gid) === size(maps.gid);
  return hasAll ? { op: 'mapUsers', uid: mapText(uid), gid: mapText(gid) } : undefined;
}

/**
 * Host root has no id there, and only who has one makes a namespace. Its own limit of processes, which the kernel does
 * not ask root about, would then bound those of all its containers together.
 */
const asFirst = (enter: readonly Step[], mapUsers: Step): Step[] => [
  raiseProcesses(),
  ...enter,
  { op: 'setgroups', gids: [] },
  { op: 'setgid', gid: FIRST_ID },
  { op: 'setuid', uid: FIRST_ID },
  mapUsers,
  ...putBackLimits([PROCESSES]),
];

const size = (map: readonly IdMapping[]) => map.reduce((sum, line) => sum + line.size, 0);

const mapText = (map: readonly IdMapping[]) =>
  map.map((line) => `${line.containerID} ${line.hostID} ${line.size}\n`).join('');
