/**
 * `unenforceable-limits: warn` of the config: a limit that cannot be enforced here is discarded with Docker's text, as
 * Docker does it, for clients that always send limits. Without it such a limit is refused, because whoever asks for a
 * limit counts on it. Source of the texts: moby daemon/daemon_unix.go verifyPlatformContainerResources; where Docker
 * refuses what husk could discard (NanoCPUs), the text is made like the others.
 */
import { HuskError } from '../../errors.ts';
import type { Isolation } from '../../sandbox.ts';
import type { CreateOptions, ResourceRequest } from '../contract.ts';
import { readLimits } from '../request/request.ts';
import { limitWarnings } from './unenforceable-limits.ts';

const NO_CFS = 'Your kernel does not support CPU CFS scheduler or the cgroup is not mounted.';
const NO_CPUSET = 'Your kernel does not support cpuset or the cgroup is not mounted. Cpuset discarded.';

const TEXTS: Record<keyof ResourceRequest, string> = {
  memory: 'Your kernel does not support memory limit capabilities or the cgroup is not mounted. Limitation discarded.',
  memorySwap:
    'Your kernel does not support swap limit capabilities or the cgroup is not mounted. Memory limited without swap.',
  memoryReservation:
    'Your kernel does not support memory soft limit capabilities or the cgroup is not mounted. Limitation discarded.',
  memorySwappiness:
    'Your kernel does not support memory swappiness capabilities or the cgroup is not mounted. Memory swappiness discarded.',
  oomKillDisable: 'Your kernel does not support OomKillDisable. OomKillDisable discarded.',
  cpus: `${NO_CFS} NanoCPUs discarded.`,
  cpuPeriod: `${NO_CFS} CPU period discarded.`,
  cpuQuota: `${NO_CFS} CPU quota discarded.`,
  cpuShares: 'Your kernel does not support CPU shares or the cgroup is not mounted. Shares discarded.',
  cpusetCpus: NO_CPUSET,
  cpusetMems: NO_CPUSET,
  pidsLimit: 'Your kernel does not support PIDs limit capabilities or the cgroup is not mounted. PIDs limit discarded.',
  blkioWeight: 'Your kernel does not support Block I/O weight or the cgroup is not mounted. Weight discarded.',
  blkioWeightDevice:
    'Your kernel does not support Block I/O weight_device or the cgroup is not mounted. Weight-device discarded.',
  deviceReadBps:
    'Your kernel does not support BPS Block I/O read limit or the cgroup is not mounted. Block I/O BPS read limit discarded.',
  deviceWriteBps:
    'Your kernel does not support BPS Block I/O write limit or the cgroup is not mounted. Block I/O BPS write limit discarded.',
  deviceReadIops:
    'Your kernel does not support IOPS Block read limit or the cgroup is not mounted. Block I/O IOPS read limit discarded.',
  deviceWriteIops:
    'Your kernel does not support IOPS Block write limit or the cgroup is not mounted. Block I/O IOPS write limit discarded.',
};

type Limit = keyof ResourceRequest;

/** @returns whether a limit alone can be enforced. @throws HuskError for what is wrong anywhere */
export type Enforces = (limits: ResourceRequest) => boolean;

/**
 * Each limit is asked about alone; `memorySwap` means nothing without `memory`, with which it goes.
 * @returns the limits that stay, and a text for each one that does not
 */
export function discardLimits(
  asked: ResourceRequest,
  enforces: Enforces,
): { resources: ResourceRequest; warnings: string[] } {
  const kept: ResourceRequest = { ...asked };
  const warnings = new Set<string>();
  for (const limit of Object.keys(TEXTS) as Limit[]) {
    const value = kept[limit];
    if (!value || (Array.isArray(value) && value.length === 0)) continue;
    // Without memory beside it, what it means is decided by those that are there already.
    if (limit === 'memorySwap' && !kept.memory) continue;
    const beside = limit === 'memorySwap' ? { memory: kept.memory } : {};
    if (enforces({ ...beside, [limit]: value })) continue;
    warnings.add(TEXTS[limit]);
    delete kept[limit];
    if (limit === 'memory') delete kept.memorySwap;
  }
  return { resources: kept, warnings: [...warnings] };
}

/** Asks this host. */
export function enforcedHere(options: Pick<CreateOptions, 'oomScoreAdj'>, isolation: Isolation): Enforces {
  return (limits) => {
    try {
      limitWarnings({ oomScoreAdj: options.oomScoreAdj, resources: readLimits(limits) }, isolation);
      return true;
    } catch (error) {
      if (error instanceof HuskError && error.kind === 'unsupported') return false;
      throw error;
    }
  };
}
