/**
 * What limits mean to a container that has a machine of its own. Memory, processes, CPU time and ulimits are the
 * guest's cgroup to hold; the CPUs of `--cpuset-cpus` are the host's, which the machine is pinned to. What weighs
 * containers against one another, or is about devices of the host, would mean nothing inside: it is refused, never
 * ignored. Pure.
 */
import { resourcesToFiles } from '../../container/cgroup/files.ts';
import type { Resources } from '../../spec.ts';
import { EXIT_HUSK_FAILED, HuskError } from '../../errors.ts';
import type { CreateRequest } from '../request/request.ts';

const BETWEEN = 'it weighs containers of one kernel against one another, and this one has a kernel of its own';
const HOSTS = 'the devices of the host are not in it';

/**
 * @param facts.memoryNodes how many the host has
 * @returns warnings in the daemon's words
 * @throws HuskError `unsupported` naming the first flag that a VM cannot have
 */
export function checkMachineLimits(
  request: Pick<CreateRequest, 'cgroupParent'>,
  asked: Resources,
  facts: { memoryNodes: number },
): string[] {
  const { cpu, blockIO } = asked;
  const refuse = (is: unknown, flag: string, why: string, fix = 'use --isolation=userns'): void => {
    if (is)
      throw new HuskError(`cannot enforce ${flag} on a virtual machine: ${why}`, {
        kind: 'unsupported',
        exitCode: EXIT_HUSK_FAILED,
        fix,
      });
  };
  refuse(cpu?.shares, '--cpu-shares', BETWEEN, 'use --cpus, or --isolation=userns');
  refuse(cpu?.mems && facts.memoryNodes > 1, '--cpuset-mems', 'its memory is not bound to nodes of the host');
  refuse(blockIO?.weight, '--blkio-weight', BETWEEN);
  refuse(blockIO?.weightDevice, '--blkio-weight-device', HOSTS);
  refuse(blockIO?.throttleReadBpsDevice, '--device-read-bps', HOSTS);
  refuse(blockIO?.throttleWriteBpsDevice, '--device-write-bps', HOSTS);
  refuse(blockIO?.throttleReadIOPSDevice, '--device-read-iops', HOSTS);
  refuse(blockIO?.throttleWriteIOPSDevice, '--device-write-iops', HOSTS);
  refuse(request.cgroupParent, '--cgroup-parent', "its cgroups are the guest's own");
  return resourcesToFiles(asked).warnings;
}
