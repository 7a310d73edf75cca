/** Fields of a create or update body that husk cannot do: refused, naming the field, when something is asked. */
import { HuskError } from '../../../../errors.ts';
import type { BodyFields } from '../../../http/body-fields.ts';

interface Refused {
  field: string;
  why: string;
  fix?: string;
}

const REAL_TIME = 'your kernel does not support CPU real-time scheduler: cgroup v2 has none';

/** Source of what each means: docs of API 1.51; KernelMemory was the API's until 1.41. */
const OF_RESOURCES: readonly Refused[] = [
  { field: 'CpuRealtimePeriod', why: REAL_TIME, fix: 'use NanoCpus or CpuShares' },
  { field: 'CpuRealtimeRuntime', why: REAL_TIME, fix: 'use NanoCpus or CpuShares' },
  { field: 'KernelMemory', why: 'kernel memory limits are no longer supported by the kernel', fix: 'use Memory' },
  { field: 'KernelMemoryTCP', why: 'cgroup v2 has no limit of TCP buffers', fix: 'use Memory' },
];

const OF_HOST_CONFIG: readonly Refused[] = [
  { field: 'Cgroup', why: 'a container does not join the cgroup of another', fix: 'use CgroupParent' },
];

const OF_CONFIG: readonly Refused[] = [
  { field: 'Shell', why: "a container's shell is its image's", fix: 'use SHELL in the Dockerfile' },
];

export const refuseInConfig = (body: BodyFields): void => refuse(body, OF_CONFIG);
export const refuseInHostConfig = (host: BodyFields): void => refuse(host, OF_HOST_CONFIG);
export const refuseInResources = (resources: BodyFields): void => refuse(resources, OF_RESOURCES);

/** @throws HuskError `invalid` */
function refuse(fields: BodyFields, refused: readonly Refused[]): void {
  const found = refused.find(({ field }) => fields.asks(field));
  if (found)
    throw new HuskError(`${fields.path(found.field)}: ${found.why}`, {
      kind: 'invalid',
      fix: found.fix ?? 'leave it out',
    });
}
