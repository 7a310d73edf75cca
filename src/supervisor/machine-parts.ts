/** What every monitor of a virtual machine settles for it: its size, its network devices, and whose ids it has. */
import { readFileSync } from 'node:fs';
import { availableParallelism, totalmem } from 'node:os';
import type { InterfaceSetup } from '../agent-protocol.ts';
import { parseCpuList } from '../container/cgroup/cpu-list.ts';
import { HuskError } from '../errors.ts';
import type { Resources } from '../spec.ts';
import type { PacketLink } from '../vmm/devices/net/link.ts';
import type { VmInterface } from '../vmm/sandbox/assemble.ts';
import type { VmSize } from '../vmm/templates/shape.ts';
import type { Task } from './protocol/protocol.ts';

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

/** A container whose files alone are used has no interfaces. */
export function joined(interfaces: readonly InterfaceSetup[], ends: readonly PacketLink[]): VmInterface[] {
  return interfaces.map((setup, index) => {
    const link = ends[index];
    if (!link) throw new HuskError(`no link was handed over for ${setup.name}`, { kind: 'internal' });
    return { ...setup, link };
  });
}

/**
 * Whether this process was born in a jail with a user namespace (src/rootless/jail.ts): root in it is somebody else
 * outside.
 */
export function hasContainerIds(): boolean {
  return process.getuid!() === 0 && !/^\s*0\s+0\s/.test(readFileSync('/proc/self/uid_map', 'latin1'));
}

/** @returns the size that the machine of a container has in its next life: as it was counted when it was started */
export const machineSize = ({ size, spec }: Pick<Task, 'size' | 'spec'>): VmSize =>
  size ?? vmSize(spec.linux.resources ?? {});

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
