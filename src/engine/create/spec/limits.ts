/**
 * Limits asked for → OCI resources, checked as the daemon checks them, with its texts. Whether this host can enforce
 * them is container/cgroup.ts's question. Source: moby daemon/daemon_unix.go verifyPlatformContainerResources,
 * adaptContainerSettings.
 */
import type { Resources, ThrottleDevice } from '../../../spec.ts';
import { HuskError } from '../../../errors.ts';
import { isWeight, type DeviceRate } from '../../../notation/devices.ts';
import type { LimitRequest } from '../../request/request.ts';
import { parseCpuList } from '../../../container/cgroup/cpu-list.ts';

/** bytes: 6 MiB, what runc itself needs to start a container */
const MIN_MEMORY = 6 * 1024 * 1024;
/** microseconds */
const MIN_CPU_PERIOD = 1000;
const MAX_CPU_PERIOD = 1_000_000;
const MIN_CPU_QUOTA = 1000;
const DEFAULT_CPU_PERIOD = 100_000;

export interface LimitFacts {
  /** number of CPUs this process may use */
  cpus: number;
  /** cpuset.cpus.effective, cpuset.mems.effective or their like: `0-3,8`; absent when the host does not tell */
  availableCpus?: string;
  availableMems?: string;
  /** major and minor of a block device, or undefined */
  blockDevice(path: string): { major: number; minor: number } | undefined;
}

/** @throws HuskError `invalid` in Docker's words */
export function resources(request: LimitRequest, facts: LimitFacts): Resources {
  const result: Resources = {};
  const memory = memoryLimits(request);
  if (Object.keys(memory).length) result.memory = memory;
  const cpu = cpuLimits(request, facts);
  if (Object.keys(cpu).length) result.cpu = cpu;
  // Docker: 0 and -1 are "no limit"
  if (request.pidsLimit !== undefined && request.pidsLimit > 0) result.pids = { limit: request.pidsLimit };
  const blockIO = blockLimits(request, facts);
  if (Object.keys(blockIO).length) result.blockIO = blockIO;
  return result;
}

function memoryLimits(request: LimitRequest): NonNullable<Resources['memory']> {
  const limit = request.memory ?? 0;
  let swap = request.memorySwap ?? 0;
  const reservation = request.memoryReservation ?? 0;
  const { memorySwappiness: swappiness } = request;
  if (limit !== 0 && limit < MIN_MEMORY) throw invalid('Minimum memory limit allowed is 6MB');
  if (limit > 0 && swap > 0 && swap < limit)
    throw invalid('Minimum memoryswap limit should be larger than memory limit, see usage');
  if (limit === 0 && swap > 0)
    throw invalid('You should always set the Memory limit when using Memoryswap limit, see usage');
  if (swappiness !== undefined && swappiness !== -1 && (swappiness < 0 || swappiness > 100))
    throw invalid(`Invalid value: ${swappiness}, valid memory swappiness range is 0-100`);
  if (reservation > 0 && reservation < MIN_MEMORY) throw invalid('Minimum memory reservation allowed is 6MB');
  if (limit > 0 && reservation > 0 && limit < reservation)
    throw invalid('Minimum memory limit can not be less than memory reservation limit, see usage');
  if (limit > 0 && swap === 0) swap = 2 * limit;
  return {
    ...(limit > 0 && { limit }),
    ...(reservation > 0 && { reservation }),
    ...(swap !== 0 && { swap }),
    ...(swappiness !== undefined && swappiness !== -1 && { swappiness }),
    ...(request.oomKillDisable && { disableOOMKiller: true }),
  };
}

function cpuLimits(request: LimitRequest, facts: LimitFacts): NonNullable<Resources['cpu']> {
  const { cpus = 0, cpuPeriod: period = 0, cpuQuota: quota = 0, cpuShares: shares = 0 } = request;
  if (cpus && period) throw invalid('Conflicting options: Nano CPUs and CPU Period cannot both be set.');
  if (cpus && quota) throw invalid('Conflicting options: Nano CPUs and CPU Quota cannot both be set.');
  if (cpus < 0 || cpus > facts.cpus || (cpus > 0 && cpus < 0.01))
    throw invalid(`Range of CPUs is from 0.01 to ${facts.cpus}.00, as there are only ${facts.cpus} CPUs available`);
  if (shares < 0) throw invalid(`invalid CPU shares (${shares}): value must be a positive integer`);
  if (period !== 0 && (period < MIN_CPU_PERIOD || period > MAX_CPU_PERIOD))
    throw invalid('CPU cfs period can not be less than 1ms (i.e. 1000) or larger than 1s (i.e. 1000000)');
  if (quota > 0 && quota < MIN_CPU_QUOTA) throw invalid('CPU cfs quota can not be less than 1ms (i.e. 1000)');
  checkSet(request.cpusetCpus, facts.availableCpus, 'cpuset cpus', 'CPUs');
  checkSet(request.cpusetMems, facts.availableMems, 'cpuset mems', 'memory nodes');
  return {
    ...(shares > 0 && { shares }),
    ...(cpus > 0
      ? { period: DEFAULT_CPU_PERIOD, quota: Math.round(cpus * DEFAULT_CPU_PERIOD) }
      : { ...(period > 0 && { period }), ...(quota !== 0 && { quota }) }),
    ...(request.cpusetCpus && { cpus: request.cpusetCpus }),
    ...(request.cpusetMems && { mems: request.cpusetMems }),
  };
}

function checkSet(asked: string | undefined, available: string | undefined, what: string, noun: string): void {
  if (!asked) return;
  const wanted = parseCpuList(asked);
  if (wanted === undefined) throw invalid(`Invalid value ${asked} for ${what}`);
  if (available === undefined) return;
  const there = new Set(parseCpuList(available));
  if (!wanted.every((number) => there.has(number)))
    throw invalid(`Requested ${noun} are not available - requested ${asked}, available: ${available}`);
}

function blockLimits(request: LimitRequest, facts: LimitFacts): NonNullable<Resources['blockIO']> {
  const weight = request.blkioWeight ?? 0;
  if (weight !== 0 && !isWeight(weight)) throw invalid('Range of blkio weight is from 10 to 1000');
  const weightDevice = request.blkioWeightDevice.map(({ path, weight: own }) => {
    if (!isWeight(own)) throw invalid(`invalid weight for device: ${path}:${own}`);
    return { ...blockDevice(path, facts), weight: own };
  });
  const throttle = (rates: readonly DeviceRate[]): ThrottleDevice[] =>
    rates.map(({ path, rate }) => ({ ...blockDevice(path, facts), rate }));
  const readBps = throttle(request.deviceReadBps);
  const writeBps = throttle(request.deviceWriteBps);
  const readIops = throttle(request.deviceReadIops);
  const writeIops = throttle(request.deviceWriteIops);
  return {
    ...(weight && { weight }),
    ...(weightDevice.length && { weightDevice }),
    ...(readBps.length && { throttleReadBpsDevice: readBps }),
    ...(writeBps.length && { throttleWriteBpsDevice: writeBps }),
    ...(readIops.length && { throttleReadIOPSDevice: readIops }),
    ...(writeIops.length && { throttleWriteIOPSDevice: writeIops }),
  };
}

function blockDevice(path: string, facts: LimitFacts): { major: number; minor: number } {
  const device = facts.blockDevice(path);
  if (!device) throw invalid(`no such block device: ${path}`);
  return device;
}

function invalid(message: string): HuskError {
  return new HuskError(message, { kind: 'invalid' });
}
