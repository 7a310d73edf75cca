/**
 * What a container's virtual machine is made of: its size from the limits, its disks from the image and the container's
 * folder.
 */
import { existsSync, readFileSync } from 'node:fs';
import { availableParallelism, totalmem } from 'node:os';
import { join } from 'node:path';
import { parseCpuList } from '../container/cgroup/cpu-list.ts';
import type { Resources } from '../spec.ts';
import { pinProcess } from '../host/kernel/affinity.ts';
import { rootDisk } from '../images/erofs/root-disk.ts';
import type { Paths } from '../paths.ts';
import { AGENT_DISK, GUEST_KERNEL, WRITABLE_DISK } from '../program.ts';
import type { ImageTree, Sandbox } from '../sandbox.ts';
import { StreamLink } from '../vmm/devices/net/link.ts';
import { VmSandbox } from '../vmm/sandbox/sandbox.ts';
import type { VmSize } from '../vmm/sandbox/assemble.ts';
import { unpackSparse } from '../vmm/sparse-template.ts';
import { lockDown } from './lock-down.ts';
import type { Task } from './protocol/protocol.ts';
import { mayRestart } from './life/restart-policy.ts';

const MIB = 1 << 20;
/** what the guest's kernel and agent need beside the container */
const GUEST_OVERHEAD = 96 * MIB;
/**
 * Without a limit: a share of the host's memory, up to a bound. What the guest does not touch costs nothing, and what
 * it frees comes back (the balloon's free page reporting); but its kernel describes each page in 64 bytes, which it
 * writes as it boots: 16 MiB for each GiB.
 */
const DEFAULT_SHARE = 1 / 4;
const MOST_DEFAULT_MEMORY = 4096 * MIB;
/** more vCPUs are asked for by name (`--cpus`): each is a thread, and time to boot */
const DEFAULT_CPUS = 2;

/** One for all machines of this process: bytes of a frame half sent are the next machine's to finish. */
let link: StreamLink | undefined;
let isPinned = false;

/** @param networkFd the socket of the passt that the engine started beside this process */
export async function openVm(task: Task, paths: Paths, networkFd?: number): Promise<Sandbox> {
  const { resources = {} } = task.spec.linux;
  const size = vmSize(resources);
  // before the machine's threads are made; they inherit it
  // once: a process that has made a machine may not, and these CPUs are a restarted container's too (VmSandbox.update)
  if (resources.cpu?.cpus && !isPinned) pinProcess(parseCpuList(resources.cpu.cpus) ?? []);
  isPinned = true;
  const directory = paths.container(task.id);
  const root = await rootDisk(task.layers, paths);
  const images: ImageTree[] = [];
  for (const { id, layers } of task.images ?? [])
    images.push({ id, kind: 'disk', root: await rootDisk(layers, paths) });
  const writable = writableDisk(directory);
  if (networkFd !== undefined) link ??= new StreamLink(networkFd);
  const network = task.network && link && { ...task.network, link };
  return new VmSandbox(
    { id: task.id, spec: task.spec, rootfs: { kind: 'disk', root, writable }, images, directory, init: task.init },
    {
      parts: { kernel: GUEST_KERNEL, agentDisk: AGENT_DISK },
      size,
      sameIds: hasContainerIds(),
      ...(network && { network }),
      beforeRun: () => lockDown({ again: mayRestart(task) }),
    },
  );
}

/**
 * Whether this process was born in a jail with a user namespace (src/rootless/jail.ts): root in it is somebody else
 * outside.
 */
function hasContainerIds(): boolean {
  return process.getuid!() === 0 && !/^\s*0\s+0\s/.test(readFileSync('/proc/self/uid_map', 'latin1'));
}

/** A limit sizes the machine, and the cgroup in it holds the container to the limit itself. */
export function vmSize(resources: Resources): VmSize {
  const { limit } = resources.memory ?? {};
  const { quota, period } = resources.cpu ?? {};
  const wished =
    limit !== undefined && limit > 0
      ? limit + GUEST_OVERHEAD
      : Math.min(totalmem() * DEFAULT_SHARE, MOST_DEFAULT_MEMORY);
  const most = Math.floor(totalmem() * 0.9);
  const chosen = resources.cpu?.cpus ? parseCpuList(resources.cpu.cpus)?.length : undefined;
  const available = Math.min(chosen ?? Infinity, availableParallelism());
  const cpus =
    quota !== undefined && quota > 0 && period !== undefined && period > 0 ? Math.ceil(quota / period) : DEFAULT_CPUS;
  return { memory: Math.ceil(Math.min(wished, most) / MIB) * MIB, cpus: Math.max(1, Math.min(cpus, available)) };
}

/** containers/<id>/writable.ext4: the empty disk, made once. */
function writableDisk(directory: string): string {
  const path = join(directory, 'writable.ext4');
  if (!existsSync(path)) unpackSparse(WRITABLE_DISK, path);
  return path;
}
