/**
 * What a container's virtual machine is made of: its size from the limits, its disks from the image and the container's
 * folder.
 */
import { existsSync } from 'node:fs';
import type { Duplex } from 'node:stream';
import { join } from 'node:path';
import { parseCpuList } from '../container/cgroup/cpu-list.ts';
import { causeOf, HuskError } from '../errors.ts';
import { Fd } from '../host/fd.ts';
import { pinProcess } from '../host/kernel/affinity.ts';
import { rootDisk } from '../images/erofs/root-disk.ts';
import type { MachineNameContext, MachineNames } from '../network/attach/machine-names.ts';
import type { HandedSocket } from '../network/names/handed-resolver.ts';
import type { Paths } from '../paths.ts';
import { AGENT_DISK, GUEST_KERNEL, WRITABLE_DISK } from '../program.ts';
import type { ImageTree, Sandbox } from '../sandbox.ts';
import { PacketLink } from '../vmm/devices/net/link.ts';
import { VmSandbox, type VmOptions } from '../vmm/sandbox/sandbox.ts';
import { savedFiles } from '../vmm/snapshot/saved-files.ts';
import { readState } from '../vmm/snapshot/machine-state.ts';
import type { SocketRelay } from '../vmm/sockets/relay.ts';
import { unpackSparse } from '../vmm/sparse-template.ts';
import { lockDown } from './lock-down.ts';
import { hasContainerIds, joined, machineSize } from './machine-parts.ts';
import type { Descriptors } from './protocol/descriptors.ts';
import type { Task } from './protocol/protocol.ts';
import { mayRestart } from './life/restart-policy.ts';

/** All machines of this process share its links, */
let links: PacketLink[] | undefined;
/** and those by which it asks the host's resolvers */
let resolvers: HandedSocket[] | undefined;
/** and the socket to its wardens, for rules of `--egress` */
let warden: ((stream: Duplex) => void) | undefined;
/** and who connects to sockets of the host's */
let relay: SocketRelay | undefined;
let isPinned = false;
/** a copy goes on with the machine of the container copied; its next life, by a restart policy, boots */
let hasGoneOn = false;

/**
 * @param descriptors what this process was born with @param names what its name server is to be made of
 * @param onRefused the task's template cannot be gone on from: the machine boots
 */
export async function openVm(
  task: Task,
  paths: Paths,
  {
    descriptors = {},
    names,
    onRefused,
  }: {
    descriptors?: Descriptors | undefined;
    names?: MachineNameContext | undefined;
    onRefused?: ((why: string) => void) | undefined;
  } = {},
): Promise<Sandbox> {
  const { resources = {} } = task.spec.linux;
  const size = machineSize(task);
  // the CPUs are chosen before the machine's threads are made, which inherit them; and once only: a process that has
  // made a machine may not, and a restarted container has the same ones (VmSandbox.update)
  if (resources.cpu?.cpus && !isPinned) pinProcess(parseCpuList(resources.cpu.cpus) ?? []);
  isPinned = true;
  const directory = paths.container(task.id);
  const root = await rootDisk(task.layers, paths);
  const images: ImageTree[] = [];
  for (const { id, layers } of task.images ?? [])
    images.push({ id, kind: 'disk', root: await rootDisk(layers, paths) });
  const writable = writableDisk(directory);
  links ??= (descriptors.links ?? []).map((fd) => new PacketLink(fd));
  const config = {
    id: task.id,
    spec: task.spec,
    rootfs: { kind: 'disk' as const, root, writable },
    images,
    directory,
    init: task.init,
  };
  const options: VmOptions = {
    parts: { kernel: GUEST_KERNEL, agentDisk: AGENT_DISK },
    size,
    sameIds: hasContainerIds(),
    interfaces: joined(task.machine?.interfaces ?? [], links),
    ...(task.names && names && { serveNames: await nameServer(task.id, task.names, { ...names, descriptors }) }),
    ...(task.sockets && { sockets: { owners: task.sockets, relay: (relay ??= await relayOf(descriptors)) } }),
    beforeRun: () => lockDown({ again: mayRestart(task) }),
  };
  if (task.saved !== undefined && !hasGoneOn) {
    hasGoneOn = true;
    const { state: file, memory } = savedFiles(task.saved);
    const state = readState(file);
    return new VmSandbox(config, {
      ...options,
      size: { memory: state.memory, cpus: state.vcpus.length },
      saved: { state, memory },
      savedStdio: { stdin: task.openStdin, terminal: task.terminal },
    });
  }
  if (task.template)
    try {
      const { state, memory } = task.template;
      return new VmSandbox(config, { ...options, template: { state: readState(state), memory } });
    } catch (error) {
      // it may be damaged, or made under another KVM; what is wrong with the container itself is found once more
      onRefused?.(causeOf(error));
    }
  return new VmSandbox(config, options);
}

/** Loaded only for a container that has one. All machines of this process share the sockets. */
async function nameServer(
  containerId: string,
  names: MachineNames | 'warden',
  { descriptors, ...context }: MachineNameContext & { descriptors: Descriptors },
): Promise<(stream: Duplex) => void> {
  if (names === 'warden') return (warden ??= await wardenOf(descriptors, context));
  const [{ HandedSocket }, { serveMachineNames }] = await Promise.all([
    import('../network/names/handed-resolver.ts'),
    import('../network/attach/machine-names.ts'),
  ]);
  resolvers ??= (descriptors.resolvers ?? []).map((fd) => new HandedSocket(fd));
  const sockets = resolvers;
  return (stream) => serveMachineNames(stream, { names, sockets, containerId, ...context });
}

/** Loaded only for a container that has sockets. */
async function relayOf({ relay: [fd] = [] }: Descriptors): Promise<SocketRelay> {
  if (fd === undefined) throw new HuskError('no relay of sockets was handed over', { kind: 'internal' });
  const { SocketRelay: Relay } = await import('../vmm/sockets/relay.ts');
  return new Relay(new Fd(fd));
}

async function wardenOf(
  { warden: [fd] = [] }: Descriptors,
  { problem }: MachineNameContext,
): Promise<(stream: Duplex) => void> {
  if (fd === undefined) throw new HuskError('no warden was handed over', { kind: 'internal' });
  const { askWardens } = await import('../network/warden/questions.ts');
  const questions = askWardens(new Fd(fd), problem);
  return (stream) => questions.serve(stream);
}

/** containers/<id>/writable.ext4: the empty disk, made once. */
function writableDisk(directory: string): string {
  const path = join(directory, 'writable.ext4');
  if (!existsSync(path)) unpackSparse(WRITABLE_DISK, path);
  return path;
}
