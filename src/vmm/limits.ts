/**
 * Splits a container's limits between the guest and the host. The guest's cgroup enforces all of them but two: the
 * host's CPUs that the container may use are the affinity of this process, and memory nodes exist only on the host.
 */
import type { Resources } from '../spec.ts';
import { HuskError } from '../errors.ts';

const MIB = 1 << 20;

export function guestResources({ cpu, ...rest }: Resources): Resources {
  if (cpu === undefined) return rest;
  const { cpus: _cpus, mems: _mems, ...time } = cpu;
  return { ...rest, ...(Object.keys(time).length > 0 && { cpu: time }) };
}

/**
 * Refuses limits above the machine's size, because a running machine keeps the size that it was made with.
 * @param size bytes of RAM, the number of CPUs, and the CPUs of the host that the machine was started on
 * @throws HuskError `unsupported`
 */
export function checkSize(
  { memory, cpu }: Resources,
  size: { memory: number; cpus: number; affinity: string | undefined },
): void {
  const refuse = (what: string, has: string) => {
    throw new HuskError(`cannot ${what}: the container's virtual machine has ${has}, and cannot change while it runs`, {
      kind: 'unsupported',
      fix: 'stop the container, update it, start it again',
    });
  };
  if (cpu?.cpus && cpu.cpus !== size.affinity) refuse(`give the container the CPUs ${cpu.cpus}`, 'those it started on');
  if ((memory?.limit ?? 0) > size.memory)
    refuse(`raise the memory limit to ${Math.floor(memory!.limit! / MIB)} MiB`, `${size.memory / MIB} MiB of memory`);
  if (cpu?.quota && cpu.period && cpu.quota > size.cpus * cpu.period)
    refuse(`give the container ${cpu.quota / cpu.period} CPUs`, `${size.cpus}`);
}
