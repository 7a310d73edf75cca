/**
 * Of a container's limits, what its guest's cgroup holds: which CPUs of the host it may use is this process's affinity,
 * and memory nodes are the host's.
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
 * A machine is as large as it was made.
 * @param size bytes of RAM, number of CPUs, and those of the host it was started on
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
