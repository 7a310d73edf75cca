/**
 * Starts the supervisor of a VM container, which is the VMM, in its jail (src/rootless/jail.ts): it sees husk's own
 * files, the data root, the runtime folder, /dev/kvm and the folders to share, and has no network but a socket to the
 * passt started beside it. Nothing here survives this command but those two.
 */
import { Socket } from 'node:net';
import { FIRST_INHERITED, launch } from '../../launch/executor.ts';
import { compileSeccomp } from '../../container/seccomp/compile.ts';
import { checkJournal, JOURNAL_SOCKET } from '../../logs/journal.ts';
import { rootDisk } from '../../images/erofs/root-disk.ts';
import { localSocket } from '../../logs/destination.ts';
import { paths as computePaths } from '../../paths.ts';
import { streamPair } from '../../host/streams/socket.ts';
import type { Passt } from '../../network/passt.ts';
import { makeRuntimeFolder } from '../../runtime-folder.ts';
import { INIT_PROGRAM, INTERNAL, OWN_FILES, SELF } from '../../program.ts';
import { idMaps, writeIdMaps } from '../../rootless/idmap.ts';
import { seenFrom } from '../../rootless/keep-id.ts';
import { jailPlan, nodeBinds, nodeEnvironment, partBinds, type JailBind } from '../../rootless/jail.ts';
import { SupervisorClient } from '../../supervisor/client.ts';
import type { MachineNetwork, Task } from '../../supervisor/protocol/protocol.ts';
import { jailBinds } from '../../vmm/binds.ts';
import { birthList } from '../../vmm/jail/allow-list.ts';
import { dataRootBinds } from './jail-binds.ts';
import { dismissSupervisor } from './supervisor-process.ts';

const KVM = '/dev/kvm';
/** the supervisor's connection to its first client: its stdin, because a launch plan passes stdio only */
const CLIENT_FD = 0;

/** @throws HuskError for what cannot be shared with a VM, or when this host or user cannot have the jail */
export async function startJailedSupervisor(task: Task): Promise<{ client: SupervisorClient; task: Task }> {
  if (task.log.driver === 'journald') checkJournal();
  dismissSupervisor();
  const { spec, binds } = shares(task);
  makeRuntimeFolder(task.runtimeDir);
  // made out here: beside the layers, which the jail has to read only
  const disks = [task.layers, ...(task.images ?? []).map(({ layers }) => layers)];
  for (const layers of disks) await rootDisk(layers, computePaths({ dataRoot: task.dataRoot }));
  const isRoot = process.getuid!() === 0;
  const out = task.outbound ? await wayOut(task) : undefined;
  // from the launch on the supervisor alone holds it: with the one process the other ends; where there is no launch, it
  // ends here
  using link = out?.link;
  const plan = jailPlan({
    binds: [...ownBinds(task), ...binds],
    args: [...SELF, INTERNAL, 'supervisor', String(CLIENT_FD), ...(out ? [String(FIRST_INHERITED)] : [])],
    env: nodeEnvironment(),
    ...(out && { inherited: FIRST_INHERITED }),
    userNamespace: !isRoot,
    filter: compileSeccomp(birthList()),
  });
  // host root's VMM keeps its own ids, and one of a container with `--userns keep-id` others than that: it must be told
  // whose the files in the shared folders are
  const maps = isRoot && binds.length === 0 ? undefined : idMaps();
  const { uidMappings, gidMappings } = spec.linux;
  const owners =
    isRoot && maps
      ? { uidMappings: maps.uid, gidMappings: maps.gid }
      : uidMappings &&
        gidMappings &&
        maps && { uidMappings: seenFrom(uidMappings, maps.uid), gidMappings: seenFrom(gidMappings, maps.gid) };
  const told = owners ? { ...spec, linux: { ...spec.linux, ...owners } } : spec;
  using unwound = new DisposableStack();
  const { near, far } = streamPair();
  unwound.use(near);
  using theirs = far;
  const launched = launch(plan, {
    init: INIT_PROGRAM,
    stdin: theirs.number,
    stdout: 'null',
    stderr: 'null',
    ...(link && { inherit: [link.number] }),
    detached: true,
    onAwait: (_tag, pid) => writeIdMaps(pid, maps!),
  });
  // the child has its own: while these are open here, its end would not be seen
  theirs.close();
  link?.close();
  await Promise.all([launched.started, out?.ready]);
  unwound.move();
  return {
    client: new SupervisorClient(new Socket({ fd: near.release() })),
    task: { ...task, spec: told, ...(out && { network: out.network }) },
  };
}

/**
 * The machine's way out, which must be there first: nobody can start one from within the jail, or for the next machine
 * of a restart policy.
 */
async function wayOut(task: Task): Promise<Passt & { network: MachineNetwork }> {
  const [{ hostInterface }, { guestInterface, macAddress, MTU, startPasst }, { noDefaultRoute }] = await Promise.all([
    import('../../network/host-interface.ts'),
    import('../../network/passt.ts'),
    import('../../network/way-out.ts'),
  ]);
  const host = hostInterface();
  if (host === undefined) throw noDefaultRoute();
  return { ...startPasst(host), network: { mac: macAddress(task.id), mtu: MTU, interface: guestInterface(host) } };
}

function ownBinds(task: Task): JailBind[] {
  return [
    ...nodeBinds(SELF[0]),
    ...partBinds(OWN_FILES),
    { source: KVM, kind: 'file', readOnly: false, device: true },
    ...dataRootBinds(task),
    { source: task.runtimeDir, kind: 'directory', readOnly: false },
    ...(task.log.driver === 'journald' ? [{ source: JOURNAL_SOCKET, kind: 'file', readOnly: false } as const] : []),
    ...localSocket(task.log).map((source) => ({ source, kind: 'file', readOnly: false }) as const),
  ];
}

/** What is to be shared, and the spec that names it as the jail has it. */
function shares(task: Task): { spec: Task['spec']; binds: JailBind[] } {
  const { spec, binds } = jailBinds(task.spec, {
    directory: computePaths({ dataRoot: task.dataRoot }).container(task.id),
  });
  return { spec, binds: binds.map(({ source, place, kind, readOnly }) => ({ source, target: place, kind, readOnly })) };
}
