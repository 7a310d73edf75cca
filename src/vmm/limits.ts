/** Of a container's limits, what its guest's cgroup holds: which CPUs of the host it may use is this process's affinity, and memory nodes are the host's. */
import type { Resources } from '../container/spec.ts';

export function guestResources({ cpu, ...rest }: Resources): Resources {
  if (cpu === undefined) return rest;
  const { cpus: _cpus, mems: _mems, ...time } = cpu;
  return { ...rest, ...(Object.keys(time).length > 0 && { cpu: time }) };
}
