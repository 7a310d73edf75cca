/** A sample in the shape of Docker's API (moby api/types/container/stats.go), with the names of cgroup v2. */
import type { Container, Engine } from '../../../engine/contract.ts';

type Sample = Awaited<ReturnType<Engine['stats']>>;

export interface Reading {
  at: Date;
  sample: Sample;
}

/** Go's zero time */
const NEVER = '0001-01-01T00:00:00Z';

export function shown({ id, name }: Container, now: Reading | undefined, before: Reading | undefined): object {
  return {
    read: now?.at.toISOString() ?? NEVER,
    preread: before?.at.toISOString() ?? NEVER,
    pids_stats: now ? { current: now.sample.pids, ...limit(now.sample.pidsLimit) } : {},
    blkio_stats: blockStats(now),
    num_procs: 0,
    storage_stats: {},
    cpu_stats: cpuStats(now),
    precpu_stats: cpuStats(before),
    memory_stats: now ? memoryStats(now.sample) : {},
    name: `/${name}`,
    id,
    ...(now?.sample.interfaces && { networks: networkStats(now.sample.interfaces) }),
  };
}

const limit = (pids: number | undefined): object => (pids === undefined ? {} : { limit: pids });

function cpuStats(reading: Reading | undefined): object {
  const sample = reading?.sample;
  const { periods = 0, throttledPeriods = 0, throttledNanoseconds = 0 } = sample?.throttling ?? {};
  return {
    cpu_usage: {
      total_usage: sample?.cpuNanoseconds ?? 0,
      usage_in_kernelmode: sample?.systemNanoseconds ?? 0,
      usage_in_usermode: sample?.userNanoseconds ?? 0,
    },
    ...(sample && { system_cpu_usage: sample.hostCpu.nanoseconds, online_cpus: sample.hostCpu.online }),
    throttling_data: { periods, throttled_periods: throttledPeriods, throttled_time: throttledNanoseconds },
  };
}

/** Clients take what could be dropped at once (`inactive_file`) off `usage`: it is in both, or in neither. */
function memoryStats({ memoryBytes, memoryUsageBytes, memory, memoryLimitBytes }: Sample): object {
  return { usage: memoryUsageBytes ?? memoryBytes, stats: memory ?? {}, limit: memoryLimitBytes };
}

function blockStats(reading: Reading | undefined): object {
  const devices = reading?.sample.blocks ?? [];
  return {
    io_service_bytes_recursive: devices.flatMap(({ major, minor, readBytes, writtenBytes }) => [
      { major, minor, op: 'read', value: readBytes },
      { major, minor, op: 'write', value: writtenBytes },
    ]),
    io_serviced_recursive: [],
    io_queue_recursive: [],
    io_service_time_recursive: [],
    io_wait_time_recursive: [],
    io_merged_recursive: [],
    io_time_recursive: [],
    sectors_recursive: [],
  };
}

function networkStats(interfaces: NonNullable<Sample['interfaces']>): object {
  return Object.fromEntries(
    Object.entries(interfaces).map(([name, each]) => [
      name,
      {
        rx_bytes: each.receivedBytes,
        rx_packets: each.receivedPackets,
        rx_errors: each.receiveErrors,
        rx_dropped: each.receiveDropped,
        tx_bytes: each.sentBytes,
        tx_packets: each.sentPackets,
        tx_errors: each.sendErrors,
        tx_dropped: each.sendDropped,
      },
    ]),
  );
}
