/**
 * Starts a virtual machine for steps of a build: its monitor in a jail of its own, its disks, its place on the network.
 * It ends with this process, whatever ends that; what it leaves is a folder in tmp/, which is swept.
 */
import { lstatSync, mkdirSync, realpathSync } from 'node:fs';
import { Socket } from 'node:net';
import { join } from 'node:path';
import { compileSeccomp } from '../../../container/seccomp/compile.ts';
import { HuskError } from '../../../errors.ts';
import type { Fd } from '../../../host/fd.ts';
import { randomHex } from '../../../host/kernel/random.ts';
import { streamPair } from '../../../host/streams/socket.ts';
import { rootDisk } from '../../../images/erofs/root-disk.ts';
import type { Layer } from '../../../images/store/contract.ts';
import { FIRST_INHERITED, launch, type Launched } from '../../../launch/executor.ts';
import type { Step } from '../../../launch/plan.ts';
import { Membership } from '../../../network/attach/membership.ts';
import { leaseOne } from '../../../network/attach/places.ts';
import { untilWayOut } from '../../../network/attach/way-out-ready.ts';
import type { Network } from '../../../network/records/contract.ts';
import { release } from '../../../network/records/leases.ts';
import { machineProblem } from '../../../network/way-out.ts';
import type { InterfaceSetup } from '../../../agent-protocol.ts';
import { INIT_PROGRAM, INTERNAL, OWN_FILES, SELF, WRITABLE_DISK } from '../../../program.ts';
import { idMaps, writeIdMaps, type IdMaps } from '../../../rootless/idmap.ts';
import { jailPlan, nodeBinds, nodeEnvironment, partBinds, type JailBind } from '../../../rootless/jail.ts';
import { removeTree } from '../../../rootless/trees.ts';
import { SIGKILL } from '../../../notation/signals.ts';
import type { Resources } from '../../../spec.ts';
import { identifySelf } from '../../../state/process-identity.ts';
import { tmpPath } from '../../../state/tmp-folder.ts';
import { MachineClient } from '../../../supervisor/build/client.ts';
import { passDescriptors } from '../../../supervisor/protocol/descriptors.ts';
import { vmSize } from '../../../supervisor/machine-parts.ts';
import { PLACES } from '../../../vmm/binds.ts';
import { birthList } from '../../../vmm/jail/allow-list.ts';
import { unpackSparse } from '../../../vmm/sparse-template.ts';
import type { BuildContext } from './sandbox.ts';
import { BUILD_HOSTNAME } from './spec.ts';

const KVM = '/dev/kvm';
/** the monitor's connection is its stdin: a launch plan passes stdio only */
const CONNECTION = 0;
const ID_BYTES = 32;
/** of a cache's folder, until it has its own */
const CLOSED_MODE = 0o700;

/** A cache that the machine shares: `folder` is husk's own, and the cache's files lie in `data` there. */
export interface SharedCache {
  folder: string;
  mode: number;
  uid: number;
  gid: number;
}

export interface MachineWish {
  /** what the root disk is made of, bottom first */
  layers: readonly Layer[];
  caches: readonly SharedCache[];
  /** the network that it is to be on */
  network: Network | undefined;
  /** how many agents of ssh a step may have at a time */
  sockets: number;
  resources: Resources;
  problem: (text: string) => void;
}

/** @returns what an agent's socket is called, by its number among a step's */
export const agentName = (number: number): string => `agent-${number}`;

export interface StartedMachine {
  readonly client: MachineClient;
  /**
   * the folder where the machine's relay connects to agents of ssh, each by the name agentName() of its number:
   * whoever listens there is whom a step reaches
   */
  readonly agents: string | undefined;
  /** SIGKILL; everything of it ends */
  kill(): void;
  /** ends it, and gives back all that it had */
  close(): Promise<void>;
}

/** @throws HuskError where this host or user cannot have it; the signal's reason, when nothing of it is left */
export async function startMachine(
  context: BuildContext,
  wish: MachineWish,
  signal: AbortSignal | undefined,
): Promise<StartedMachine> {
  const { paths } = context;
  signal?.throwIfAborted();
  await using unwound = new AsyncDisposableStack();
  const root = await rootDisk(wish.layers, paths);
  const folder = tmpPath(paths, 'tree');
  mkdirSync(folder, { mode: CLOSED_MODE });
  unwound.defer(() => removeTree(folder));
  const writable = join(folder, 'writable.ext4');
  unpackSparse(WRITABLE_DISK, writable);
  const place = wish.network && (await takePlace(context, wish.network, wish.problem));
  if (place) unwound.defer(() => place.close());
  // Not in the machine's folder, which its monitor sees.
  const agents = wish.sockets === 0 ? undefined : tmpPath(paths, 'tree');
  if (agents !== undefined) {
    mkdirSync(agents, { mode: CLOSED_MODE });
    unwound.defer(() => removeTree(agents));
  }
  // What listens there is this process, which lets through what a step may ask (ssh-agent.ts), so root may stay root.
  using relay =
    agents === undefined
      ? undefined
      : await (
          await import('../../../vmm/sockets/start.ts')
        ).startRelay(
          Array.from({ length: wish.sockets }, (_, number) => join(realpathSync(agents), agentName(number))),
        );
  const isRoot = process.getuid!() === 0;
  const maps = isRoot && wish.caches.length === 0 ? undefined : idMaps();
  const passed = passDescriptors(
    { links: place ? [place.link.number] : [], ...(relay && { relay: [relay.control.number] }) },
    FIRST_INHERITED,
  );
  const plan = jailPlan({
    binds: [
      ...nodeBinds(SELF[0]),
      ...partBinds(OWN_FILES),
      { source: KVM, kind: 'file', readOnly: false, device: true },
      ...diskBinds(root, paths.layers),
      { source: folder, kind: 'directory', readOnly: false },
      ...wish.caches.map(({ folder: cache }, index): JailBind => ({
        source: join(cache, 'data'),
        target: `${PLACES}/${index}/data`,
        kind: 'directory',
        readOnly: false,
      })),
    ],
    args: [...SELF, INTERNAL, 'build-machine', String(CONNECTION), passed.argument],
    env: nodeEnvironment(),
    inherited: passed.inherit.length,
    userNamespace: !isRoot,
    diesWithParent: true,
    prepare: wish.caches.flatMap((cache) => cacheSteps(cache, isRoot ? maps : undefined)),
    filter: compileSeccomp(birthList()),
  });
  const { near, far } = streamPair();
  using ours = near;
  using theirs = far;
  const launched = launch(plan, {
    init: INIT_PROGRAM,
    stdin: theirs.number,
    stdout: 'null',
    stderr: 'null',
    inherit: passed.inherit,
    onAwait: (_tag, pid) => writeIdMaps(pid, maps!),
  });
  unwound.defer(async () => {
    kill(launched);
    await launched.exited;
  });
  theirs.close();
  place?.link.close();
  const abort = (): void => kill(launched);
  signal?.addEventListener('abort', abort);
  try {
    await launched.started;
    const client = new MachineClient(new Socket({ fd: ours.release() }));
    unwound.defer(() => client.close());
    const owners = isRoot && maps ? { uidMappings: maps.uid, gidMappings: maps.gid } : {};
    const config = { root, writable, owners, shares: wish.caches.length, sockets: wish.sockets };
    const size = vmSize(wish.resources);
    const interfaces = place ? [place.setup] : [];
    await Promise.all([client.request({ type: 'boot', config, size, interfaces }), place?.ready()]);
    const held = unwound.move();
    return { client, agents, kill: () => kill(launched), close: () => held.disposeAsync() };
  } catch (error) {
    signal?.throwIfAborted();
    throw error;
  } finally {
    signal?.removeEventListener('abort', abort);
  }
}

const kill = (launched: Launched): void => void launched.pid.then(() => launched.signal(SIGKILL)).catch(() => {});

/** The folder of all layers, to read, and what of a disk lies elsewhere: that of an image without any layer. */
function diskBinds(root: readonly { path: string }[], layers: string): JailBind[] {
  const isOutside = ({ path }: { path: string }): boolean => !path.startsWith(`${layers}/`);
  return [
    { source: layers, kind: 'directory', readOnly: true },
    ...root.filter(isOutside).map(({ path }): JailBind => ({ source: path, kind: 'file', readOnly: true })),
  ];
}

/**
 * A cache's own folder is made out here, where no guest is: a machine is given what lies in it, and could put a link in
 * its place otherwise, which the next step in user namespaces would follow.
 * @param maps of the container's ids, where the plan is not in their user namespace
 */
function cacheSteps({ folder, mode, uid, gid }: SharedCache, maps: IdMaps | undefined): Step[] {
  const path = join(folder, 'data');
  if (exists(path)) return [];
  return [
    { op: 'mkdir', path, mode: CLOSED_MODE },
    { op: 'chown', path, uid: hostId(uid, maps?.uid), gid: hostId(gid, maps?.gid) },
    { op: 'chmod', path, mode },
  ];
}

function exists(path: string): boolean {
  return lstatSync(path, { throwIfNoEntry: false }) !== undefined;
}

/** @throws HuskError for an id that no host id stands for */
function hostId(id: number, map: IdMaps['uid'] | undefined): number {
  if (!map) return id;
  const found = map.find(({ containerID, size }) => id >= containerID && id < containerID + size);
  if (!found)
    throw new HuskError(`a cache mount for ${id}: there is no such id in containers here`, { kind: 'invalid' });
  return found.hostID + id - found.containerID;
}

interface Place {
  setup: InterfaceSetup;
  link: Fd;
  /** resolves when the way out is there, or will not be, which is told */
  ready(): Promise<void>;
  close(): void;
}

/** An address on a network, and the tap that the machine gets its frames by. */
async function takePlace(
  { database, paths }: BuildContext,
  network: Network,
  problem: (text: string) => void,
): Promise<Place> {
  const lacking = machineProblem([network]);
  if (lacking) throw lacking;
  const id = randomHex(ID_BYTES);
  const { dataRoot, runtimeDir } = paths;
  const taker = { database, containerId: id, name: id, hostname: BUILD_HOSTNAME, claim: identifySelf() };
  let membership: Membership | undefined;
  const close = (): void => {
    membership?.leave({ undone: true });
    release(database, id);
  };
  try {
    const member = leaseOne(taker, network, { wanted: {}, index: 0 });
    membership = new Membership({ database, dataRoot, runtimeDir }, [member], { problem });
    const [plug] = await membership.plugAll();
    const { active, link, setup } = plug!;
    return {
      setup,
      link,
      ready: async () => {
        const reason = await untilWayOut(active);
        if (reason !== undefined) problem(`the steps have no way out: ${reason}`);
      },
      close: () => {
        if (!link.closed) link.close();
        close();
      },
    };
  } catch (error) {
    close();
    throw error;
  }
}
