/**
 * Limits of a create body's HostConfig and of an update body: 0 and null are no limit, nor is -1 where Docker says so.
 */
import type { ResourceRequest } from '../../../../engine/contract.ts';
import type { BodyFields } from '../../../http/body-fields.ts';
import { refuseInResources } from './refused.ts';

const NANO = 1e9;

/** @throws HuskError `invalid` */
export function readResources(fields: BodyFields): ResourceRequest {
  refuseInResources(fields);
  const swappiness = fields.optionalInteger('MemorySwappiness');
  const cpus = fields.positive('NanoCpus');
  return {
    memory: fields.positive('Memory'),
    memorySwap: fields.positive('MemorySwap'),
    memoryReservation: fields.positive('MemoryReservation'),
    memorySwappiness: swappiness === -1 ? undefined : swappiness,
    oomKillDisable: fields.flag('OomKillDisable') || undefined,
    cpus: cpus === undefined ? undefined : cpus / NANO,
    cpuPeriod: fields.positive('CpuPeriod'),
    cpuQuota: fields.positive('CpuQuota'),
    cpuShares: fields.positive('CpuShares'),
    cpusetCpus: fields.optional('CpusetCpus'),
    cpusetMems: fields.optional('CpusetMems'),
    pidsLimit: pidsLimit(fields),
    blkioWeight: fields.positive('BlkioWeight'),
    blkioWeightDevice: ofDevices(fields, 'BlkioWeightDevice', 'Weight'),
    deviceReadBps: ofDevices(fields, 'BlkioDeviceReadBps', 'Rate'),
    deviceWriteBps: ofDevices(fields, 'BlkioDeviceWriteBps', 'Rate'),
    deviceReadIops: ofDevices(fields, 'BlkioDeviceReadIOps', 'Rate'),
    deviceWriteIops: ofDevices(fields, 'BlkioDeviceWriteIOps', 'Rate'),
  };
}

/** @returns undefined for "none", which is 0, a negative number, and null */
function pidsLimit(fields: BodyFields): number | undefined {
  const limit = fields.integer('PidsLimit');
  return limit > 0 ? limit : undefined;
}

/** @returns texts as the engine's request has them: `/dev/sda:1048576` */
function ofDevices(fields: BodyFields, name: string, value: 'Weight' | 'Rate'): string[] | undefined {
  const found = fields.objects(name).map((device) => `${device.text('Path')}:${device.integer(value)}`);
  return found.length > 0 ? found : undefined;
}
