/**
 * Turns OCI resources into cgroup v2 files and their contents. Nothing here touches the system. Conversions from the v1
 * units of the spec are runc's. Source: linux Documentation/admin-guide/cgroup-v2.rst; OCI runtime-spec config-linux.md
 * § Control groups; runc libcontainer/cgroups/fs2.
 */
import { HuskError } from '../../errors.ts';
import type { Resources } from '../../spec.ts';

export interface CgroupFile {
  /** the file's name in the cgroup's folder: memory.max */
  name: string;
  value: string;
  /** the user's word for the limit, for error texts */
  what: string;
}

export interface CgroupFiles {
  files: CgroupFile[];
  /** limits for which cgroup v2 has no file; the daemon discards them with these words */
  warnings: string[];
}

const DEFAULT_CPU_PERIOD = 100_000;
/** cgroup v1's range of cpu.shares */
const MIN_SHARES = 2;
const MAX_SHARES = 262_144;
/** cgroup v2's range of cpu.weight; a new cgroup has 100 */
const MIN_WEIGHT = 1;
const MAX_WEIGHT = 10_000;

export function controllerOf(file: string): string {
  return file.slice(0, file.indexOf('.'));
}

/** @throws HuskError `invalid` for a `unified` name that is no controller's file */
export function resourcesToFiles(resources: Resources): CgroupFiles {
  const files: CgroupFile[] = [];
  const warnings: string[] = [];
  const put = (name: string, value: string | number, what: string) =>
    void files.push({ name, value: String(value), what });
  const { memory, cpu, pids, blockIO, unified } = resources;

  if (cpu?.cpus) put('cpuset.cpus', cpu.cpus, '--cpuset-cpus');
  if (cpu?.mems) put('cpuset.mems', cpu.mems, '--cpuset-mems');
  if (cpu?.shares) put('cpu.weight', sharesToWeight(cpu.shares), '--cpu-shares');
  if (cpu?.quota || cpu?.period)
    put(
      'cpu.max',
      `${cpu.quota && cpu.quota > 0 ? cpu.quota : 'max'} ${cpu.period || DEFAULT_CPU_PERIOD}`,
      '--cpus, --cpu-quota',
    );

  if (memory?.limit) put('memory.max', bytes(memory.limit), '--memory');
  const swap = swapMax(memory);
  if (swap !== undefined) put('memory.swap.max', swap, '--memory-swap');
  if (memory?.reservation) put('memory.low', bytes(memory.reservation), '--memory-reservation');
  if (memory?.swappiness !== undefined)
    warnings.push(
      'Your kernel does not support memory swappiness capabilities or the cgroup is not mounted. Memory swappiness discarded.',
    );
  if (memory?.disableOOMKiller) warnings.push('Your kernel does not support OomKillDisable. OomKillDisable discarded.');

  if (pids) put('pids.max', pids.limit > 0 ? pids.limit : 'max', '--pids-limit');

  if (blockIO?.weight) put('io.weight', `default ${ioWeight(blockIO.weight)}`, '--blkio-weight');
  for (const { major, minor, weight } of blockIO?.weightDevice ?? [])
    put('io.weight', `${major}:${minor} ${ioWeight(weight)}`, '--blkio-weight-device');
  for (const [devices, key, what] of [
    [blockIO?.throttleReadBpsDevice, 'rbps', '--device-read-bps'],
    [blockIO?.throttleWriteBpsDevice, 'wbps', '--device-write-bps'],
    [blockIO?.throttleReadIOPSDevice, 'riops', '--device-read-iops'],
    [blockIO?.throttleWriteIOPSDevice, 'wiops', '--device-write-iops'],
  ] as const)
    for (const { major, minor, rate } of devices ?? [])
      put('io.max', `${major}:${minor} ${key}=${rate || 'max'}`, what);

  for (const [name, value] of Object.entries(unified ?? {})) {
    // The name becomes a path, so it must be a file of one of this cgroup's controllers.
    if (!/^(cpu|cpuset|io|memory|pids|hugetlb|rdma|misc)(\.[a-z0-9_]+)+$/i.test(name))
      throw new HuskError(`unknown cgroup file "${name}" in the spec's unified resources`, { kind: 'invalid' });
    put(name, value, name);
  }
  return { files, warnings };
}

function bytes(value: number): string {
  return value < 0 ? 'max' : String(value);
}

/** @returns memory.swap.max: v1 counts memory and swap together, v2 counts swap alone */
function swapMax(memory: Resources['memory']): string | undefined {
  const { limit = 0, swap = 0 } = memory ?? {};
  if (swap === 0) return undefined;
  if (swap < 0) return 'max';
  return limit > 0 ? String(Math.max(0, swap - limit)) : undefined;
}

/**
 * Maps [2, 262144] to [1, 10000] as runc 1.3.2 and crun 1.23 do: by a parabola of the logarithms through both ends and
 * through the two defaults, so that `--cpu-shares 1024` has the weight of a container without the flag.
 */
export function sharesToWeight(shares: number): number {
  if (shares <= MIN_SHARES) return MIN_WEIGHT;
  if (shares >= MAX_SHARES) return MAX_WEIGHT;
  const log = Math.log2(shares);
  return Math.ceil(10 ** ((log * log + 125 * log) / 612 - 7 / 34));
}

/** Maps blkio's [10, 1000] to io.weight's [1, 10000]. */
function ioWeight(weight: number): number {
  return 1 + Math.floor(((weight - 10) * 9999) / 990);
}
