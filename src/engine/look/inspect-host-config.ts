/** HostConfig in Docker's JSON of `inspect`: what was asked of the host, under Docker's names. Shapes only. */
import { effectiveCapabilities } from '../../container/capabilities.ts';
import type { DeviceRate } from '../../notation/devices.ts';
import { networkName } from '../../notation/modes.ts';
import type { PortBinding } from '../../notation/ports.ts';
import type { CreateOptions } from '../contract.ts';
import type { CreateRequest } from '../request/request.ts';
import { DEFAULT_SHM_SIZE, MASKED_PATHS, READONLY_PATHS } from '../create/spec/defaults.ts';
import { bindText, isBindText, mountRequests } from './inspect-mounts.ts';

/** @param options as they were typed, for what Docker shows so */
/** @param name the container's: a link is shown with both ends */
export function hostConfig(request: CreateRequest, options: CreateOptions, name: string): object {
  const { resources } = request;
  const capabilities = effectiveCapabilities({ add: request.capAdd, drop: request.capDrop });
  return {
    Binds: orNull(request.mounts.filter(isBindText).map(bindText)),
    ContainerIDFile: '',
    LogConfig: { Type: request.log.driver, Config: request.log.options },
    NetworkMode: networkName(request.network),
    PortBindings: portBindings(request.publish),
    ...(request.egress.length > 0 && { Egress: request.egress.map(({ text }) => text) }),
    RestartPolicy: { Name: request.restart.name, MaximumRetryCount: request.restart.maximumRetryCount },
    AutoRemove: request.autoRemove,
    VolumeDriver: '',
    VolumesFrom: orNull(request.volumesFrom),
    ConsoleSize: request.consoleSize ? [request.consoleSize.rows, request.consoleSize.columns] : [0, 0],
    ...(Object.keys(request.annotations).length > 0 && { Annotations: request.annotations }),
    CapAdd: orNull(capabilities.add),
    CapDrop: orNull(capabilities.drop),
    CgroupnsMode: options.cgroupns ?? 'private',
    Dns: request.dns,
    DnsOptions: request.dnsOptions,
    DnsSearch: request.dnsSearch,
    ExtraHosts: orNull(options.extraHosts),
    GroupAdd: orNull(request.groupAdd),
    IpcMode: options.ipc ?? 'private',
    Cgroup: '',
    Links: orNull(request.links.map((link) => `/${link.container}:/${name}/${link.alias}`)),
    OomScoreAdj: request.oomScoreAdj ?? 0,
    PidMode: options.pid ?? '',
    Privileged: request.privileged,
    PublishAllPorts: request.publishAll,
    ReadonlyRootfs: request.readOnly,
    SecurityOpt: orNull(options.securityOpt),
    ...(Object.keys(options.tmpfs).length > 0 && { Tmpfs: options.tmpfs }),
    UTSMode: options.uts ?? '',
    UsernsMode: options.userns ?? '',
    ShmSize: request.shmSize ?? DEFAULT_SHM_SIZE,
    ...(Object.keys(request.sysctls).length > 0 && { Sysctls: request.sysctls }),
    ...(request.storageSize !== undefined && { StorageOpt: { size: String(request.storageSize) } }),
    Runtime: 'husk',
    Isolation: '',
    CpuShares: resources.cpuShares ?? 0,
    Memory: resources.memory ?? 0,
    NanoCpus: Math.round((resources.cpus ?? 0) * 1e9),
    CgroupParent: request.cgroupParent ?? '',
    BlkioWeight: resources.blkioWeight ?? 0,
    BlkioWeightDevice: resources.blkioWeightDevice.map(({ path, weight }) => ({ Path: path, Weight: weight })),
    BlkioDeviceReadBps: resources.deviceReadBps.map(throttle),
    BlkioDeviceWriteBps: resources.deviceWriteBps.map(throttle),
    BlkioDeviceReadIOps: resources.deviceReadIops.map(throttle),
    BlkioDeviceWriteIOps: resources.deviceWriteIops.map(throttle),
    CpuPeriod: resources.cpuPeriod ?? 0,
    CpuQuota: resources.cpuQuota ?? 0,
    CpuRealtimePeriod: 0,
    CpuRealtimeRuntime: 0,
    CpusetCpus: resources.cpusetCpus ?? '',
    CpusetMems: resources.cpusetMems ?? '',
    Devices: request.devices.map(({ host, container, access }) => ({
      PathOnHost: host,
      PathInContainer: container,
      CgroupPermissions: access,
    })),
    DeviceCgroupRules: orNull(request.deviceRules.map(({ text }) => text)),
    DeviceRequests:
      request.cdiDevices.length > 0
        ? [{ Driver: 'cdi', Count: 0, DeviceIDs: request.cdiDevices, Capabilities: null, Options: null }]
        : null,
    MemoryReservation: resources.memoryReservation ?? 0,
    MemorySwap: resources.memorySwap || 2 * (resources.memory ?? 0),
    MemorySwappiness: resources.memorySwappiness ?? null,
    OomKillDisable: resources.oomKillDisable ?? null,
    PidsLimit: resources.pidsLimit ?? null,
    Ulimits: request.ulimits.map(({ name, soft, hard }) => ({ Name: name, Soft: soft, Hard: hard })),
    CpuCount: 0,
    CpuPercent: 0,
    IOMaximumIOps: 0,
    IOMaximumBandwidth: 0,
    Mounts: mountRequests(request.mounts),
    MaskedPaths: shownPaths(request, MASKED_PATHS),
    ReadonlyPaths: shownPaths(request, READONLY_PATHS),
    Init: request.init || undefined,
  };
}

/** Docker shows null for --privileged, and an empty list for --security-opt systempaths=unconfined. */
function shownPaths({ privileged, security }: CreateRequest, paths: readonly string[]): readonly string[] | null {
  if (privileged) return null;
  return security.unconfinedPaths ? [] : paths;
}

/** One port of the container may be published several times. */
function portBindings(published: readonly PortBinding[]): Record<string, object[]> {
  const found: Record<string, object[]> = {};
  for (const { container, hostIp, hostPort } of published)
    (found[container] ??= []).push({ HostIp: hostIp, HostPort: hostPort });
  return found;
}

const throttle = ({ path, rate }: DeviceRate): object => ({ Path: path, Rate: rate });

function orNull(values: string[]): string[] | null {
  return values.length > 0 ? values : null;
}
