/**
 * Starts the supervisor of a VM container, which is the VMM, in its jail (src/rootless/jail.ts): it sees husk's own
 * files, the data root, the runtime folder, /dev/kvm and the folders to share, and has no network but descriptors of
 * what machine-networks.ts has made for it. Nothing here survives this command but the supervisor and its forwarder.
 */
import { release } from 'node:os';
import { Socket } from 'node:net';
import type { DatabaseSync } from 'node:sqlite';
import { FIRST_INHERITED, launch } from '../../launch/executor.ts';
import { compileSeccomp } from '../../container/seccomp/compile.ts';
import { checkJournal, JOURNAL_SOCKET } from '../../logs/journal.ts';
import { rootDisk } from '../../images/erofs/root-disk.ts';
import { localSocket } from '../../logs/destination.ts';
import { paths as computePaths } from '../../paths.ts';
import { streamPair } from '../../host/streams/socket.ts';
import type { openMachineNames } from '../../network/attach/machine-names.ts';
import { makeRuntimeFolder } from '../../runtime-folder.ts';
import { INIT_PROGRAM, INTERNAL, OWN_FILES, SELF } from '../../program.ts';
import { idMaps, writeIdMaps } from '../../rootless/idmap.ts';
import { seenFrom } from '../../rootless/keep-id.ts';
import { jailPlan, nodeBinds, nodeEnvironment, partBinds, type JailBind } from '../../rootless/jail.ts';
import { SupervisorClient } from '../../supervisor/client.ts';
import { vmSize } from '../../supervisor/machine-parts.ts';
import { keyOf, orderTemplate } from '../../supervisor/template.ts';
import { passDescriptors } from '../../supervisor/protocol/descriptors.ts';
import type { Task, TaskNetworks } from '../../supervisor/protocol/protocol.ts';
import { jailBinds, type BoundSocket } from '../../vmm/binds.ts';
import { birthList } from '../../vmm/jail/allow-list.ts';
import type { MachineShape } from '../../vmm/templates/shape.ts';
import { findTemplate, isWorthMaking } from '../../vmm/templates/folder.ts';
import { dataRootBinds } from './jail-binds.ts';
import type { TakenSockets, takeSockets } from './machine-sockets.ts';
import { dismissSupervisor } from './supervisor-process.ts';
import { rehearsalSpec } from './rehearsal-spec.ts';

const KVM = '/dev/kvm';
/** where the jail of a copy has the machine that it goes on with */
const SAVED_PLACE = '/saved';
/** the supervisor's connection to its first client: its stdin, because a launch plan passes stdio only */
const CLIENT_FD = 0;

/** @throws HuskError for what cannot be shared with a VM, or when this host or user cannot have the jail */
export async function startJailedSupervisor(
  task: Task,
  database: DatabaseSync,
): Promise<{ client: SupervisorClient; task: Task }> {
  if (task.log.driver === 'journald') checkJournal();
  dismissSupervisor();
  const { spec, binds, sockets } = shares(task);
  makeRuntimeFolder(task.runtimeDir);
  // made out here: beside the layers, which the jail has to read only
  const disks = [task.layers, ...(task.images ?? []).map(({ layers }) => layers)];
  for (const layers of disks) await rootDisk(layers, computePaths({ dataRoot: task.dataRoot }));
  const isRoot = process.getuid!() === 0;
  // one with rules has a warden, and nothing by which it could ask anybody else
  const named = task.networks && !task.networks.egress ? await nameServer(task.networks) : undefined;
  using toResolvers = new DisposableStack();
  for (const socket of named?.sockets ?? []) toResolvers.use(socket);
  using taken = task.networks
    ? await (await import('./machine-networks.ts')).takeNetworks(task, task.networks, database)
    : undefined;
  // the VMM of the host's root keeps its own ids, that of a container with `--userns keep-id` has others: either must
  // be told whose the files in the shared folders are
  const maps = isRoot && binds.length === 0 && sockets.length === 0 ? undefined : idMaps();
  using relayed = maps && sockets.length > 0 ? await relaySockets(sockets, { maps, isRoot }) : undefined;
  const names = taken?.hasWarden ? 'warden' : named?.names;
  const resolvers = named?.sockets.map(({ number }) => number) ?? [];
  const passed = passDescriptors({ ...taken?.descriptors, ...relayed?.descriptors, resolvers }, FIRST_INHERITED);
  const plan = jailPlan({
    binds: [...ownBinds(task), ...binds],
    args: [...SELF, INTERNAL, 'supervisor', String(CLIENT_FD), passed.argument],
    env: nodeEnvironment(),
    inherited: passed.inherit.length,
    userNamespace: !isRoot,
    filter: compileSeccomp(birthList()),
  });
  const { uidMappings, gidMappings } = spec.linux;
  const owners =
    isRoot && maps
      ? { uidMappings: maps.uid, gidMappings: maps.gid }
      : uidMappings &&
        gidMappings &&
        maps && { uidMappings: seenFrom(uidMappings, maps.uid), gidMappings: seenFrom(gidMappings, maps.gid) };
  const told = owners ? { ...spec, linux: { ...spec.linux, ...owners } } : spec;
  // counted out here: where /proc and cgroups show less than the host has (lxcfs, a quota), the jail sees other
  // figures, and a machine of another size cannot go on from the template
  const size = vmSize(spec.linux.resources ?? {});
  const template =
    task.coldBoot || task.saved !== undefined
      ? undefined
      : templateFor(task, {
          ...size,
          images: task.images?.length ?? 0,
          mtus: taken?.machine.interfaces.map(({ mtu }) => mtu) ?? [],
          hasShares: binds.length > 0,
        });
  using unwound = new DisposableStack();
  const { near, far } = streamPair();
  unwound.use(near);
  using theirs = far;
  const launched = launch(plan, {
    init: INIT_PROGRAM,
    stdin: theirs.number,
    stdout: 'null',
    stderr: 'null',
    inherit: passed.inherit,
    detached: true,
    onAwait: (_tag, pid) => writeIdMaps(pid, maps!),
  });
  // the child has its own: while these are open here, its end would not be seen
  theirs.close();
  // the machine boots meanwhile, and for longer
  const [pid] = await Promise.all([launched.pid, launched.started, taken?.ready()]);
  taken?.passOn(pid);
  unwound.move();
  return {
    client: new SupervisorClient(new Socket({ fd: near.release() })),
    task: {
      ...task,
      spec: told,
      size,
      ...(template && { template }),
      ...(task.saved !== undefined && { saved: SAVED_PLACE }),
      ...(taken && { machine: taken.machine }),
      ...(names && { names }),
      ...(relayed && { sockets: relayed.owners }),
    },
  };
}

/** @returns the template that the machine can go on from; one that is not there is made meanwhile, for the next */
function templateFor({ dataRoot }: Task, shape: MachineShape): Task['template'] {
  const folder = computePaths({ dataRoot }).templates;
  const key = keyOf(shape);
  const found = findTemplate(folder, key);
  if (!found && isWorthMaking(folder, key)) orderTemplate({ folder, shape, spec: rehearsalSpec(release()) });
  return found;
}

/** Loaded only for a container that has sockets. */
async function relaySockets(...asked: Parameters<typeof takeSockets>): Promise<TakenSockets> {
  return (await import('./machine-sockets.ts')).takeSockets(...asked);
}

/** What its name server asks must be open before it is in the jail. */
async function nameServer({ known, names }: TaskNetworks): Promise<ReturnType<typeof openMachineNames>> {
  return (await import('../../network/attach/machine-names.ts')).openMachineNames(known, names);
}

function ownBinds(task: Task): JailBind[] {
  return [
    ...nodeBinds(SELF[0]),
    ...partBinds(OWN_FILES),
    { source: KVM, kind: 'file', readOnly: false, device: true },
    ...dataRootBinds(task),
    ...(task.saved === undefined
      ? []
      : [{ source: task.saved, target: SAVED_PLACE, kind: 'directory', readOnly: true } as const]),
    { source: task.runtimeDir, kind: 'directory', readOnly: false },
    ...(task.log.driver === 'journald' ? [{ source: JOURNAL_SOCKET, kind: 'file', readOnly: false } as const] : []),
    ...localSocket(task.log).map((source) => ({ source, kind: 'file', readOnly: false }) as const),
  ];
}

/** What is to be shared, and the spec that names it as the jail has it. */
function shares(task: Task): { spec: Task['spec']; binds: JailBind[]; sockets: BoundSocket[] } {
  const { spec, binds, sockets } = jailBinds(task.spec, {
    directory: computePaths({ dataRoot: task.dataRoot }).container(task.id),
  });
  return {
    spec,
    sockets,
    binds: binds.map(({ source, place, kind, readOnly }) => ({ source, target: place, kind, readOnly })),
  };
}
