/** Docker's JSON of `inspect` (ContainerInspect of its Engine API), with husk's own `Isolation`. Shapes only; asks nothing of the container. */
import { join } from 'node:path';
import { effectiveCapabilities } from '../../container/capabilities.ts';
import type { EngineContext } from '../record/context.ts';
import type { Container, ContainerConfig, CreateOptions } from '../contract.ts';
import { isRunning } from '../record/supervisor-link.ts';
import { networkName } from '../record/filters.ts';
import { etcFolder } from '../create/host-facts.ts';
import { sizeOf } from './list.ts';
import { logFile } from './logs.ts';
import { isCdiDevice } from '../create/spec/cdi.ts';
import { reachablePorts, withProtocol } from '../create/ports.ts';
import { MASKED_PATHS, READONLY_PATHS } from '../create/spec/defaults.ts';
import { deviceRate } from '../create/spec/limits.ts';
import { resolve } from '../record/reconcile.ts';

/** Docker's default, bytes */
const SHM_SIZE = 64 * 1024 * 1024;

export async function inspect(
  context: EngineContext,
  reference: string,
  options: { size?: boolean } = {},
): Promise<object> {
  const container = resolve(context, reference);
  const { config, state } = container;
  const folder = context.paths.container(container.id);
  const etc = etcFolder(context, container);
  const size = options.size ? await sizeOf(context, container) : undefined;
  return {
    Id: container.id,
    Created: new Date(container.createdAt).toISOString(),
    Path: config.path,
    Args: config.args,
    State: {
      Status: state.status,
      Running: isRunning(container),
      Paused: state.status === 'paused',
      Restarting: state.status === 'restarting',
      OOMKilled: state.oomKilled,
      Dead: state.status === 'dead',
      Pid: state.pid,
      ExitCode: state.exitCode,
      Error: state.error,
      StartedAt: state.startedAt,
      FinishedAt: state.finishedAt,
      ...(state.health && { Health: healthOf(state.health) }),
    },
    Image: config.imageId,
    ResolvConfPath: join(etc, 'resolv.conf'),
    HostnamePath: join(etc, 'hostname'),
    HostsPath: join(etc, 'hosts'),
    LogPath: config.options.logDriver === 'json-file' ? logFile(context, container) : '',
    Name: `/${container.name}`,
    RestartCount: state.restartCount,
    Driver: 'overlay2',
    Platform: 'linux',
    MountLabel: '',
    ProcessLabel: '',
    AppArmorProfile: '',
    ExecIDs: null,
    HostConfig: hostConfig(container),
    GraphDriver: {
      Data: { MergedDir: join(folder, 'merged'), UpperDir: join(folder, 'upper'), WorkDir: join(folder, 'work') },
      Name: 'overlay2',
    },
    ...(size && { SizeRw: size.rw, SizeRootFs: size.rootFs }),
    Mounts: config.mounts.map((mount) => mountPoint(mount, config.options, folder)),
    Config: containerConfig(context, container),
    NetworkSettings: networkSettings(container),
    Isolation: config.isolation,
  };
}

function healthOf({ status, failingStreak, log }: NonNullable<Container['state']['health']>): object {
  return {
    Status: status,
    FailingStreak: failingStreak,
    Log: log.map(({ start, end, exitCode, output }) => ({
      Start: start,
      End: end,
      ExitCode: exitCode,
      Output: output,
    })),
  };
}

/**
 * Docker's Mode: the third part of `-v` as it was typed; nothing for `--mount` of a bind; `z` for a volume that has a name and no mode, as its daemon
 * fills in (moby setBindModeIfNull).
 */
function mountMode(mount: ContainerConfig['mounts'][number], { mounts }: CreateOptions): string {
  const asked = mounts.find(({ target }) => target === mount.destination);
  const typed = asked?.createSource ? [...(asked.readonly ? ['ro'] : []), ...asked.options].join(',') : '';
  return typed === '' && mount.type === 'volume' && asked && (asked.source !== undefined || !asked.createSource)
    ? 'z'
    : typed;
}

/** `Source` is where its tree is while the container runs, in its own mount namespace (src/rootless/images.ts). */
function imageMount({ source, image, destination }: ContainerConfig['mounts'][number], folder: string): object {
  return {
    Type: 'image',
    Name: source,
    Source: join(folder, 'images', image!.replace('sha256:', '')),
    Destination: destination,
    Mode: '',
    RW: false,
    Propagation: 'rprivate',
  };
}

/** @param folder containers/<id> */
function mountPoint(mount: ContainerConfig['mounts'][number], options: CreateOptions, folder: string): object {
  if (mount.type === 'image') return imageMount(mount, folder);
  const propagation =
    mount.options
      .map((option) => option.replace(/^bind-propagation=/, ''))
      .find((option) => /^r?(private|shared|slave)$/.test(option)) ?? 'rprivate';
  return {
    Type: mount.type,
    ...(mount.name !== undefined && { Name: mount.name }),
    Source: mount.type === 'tmpfs' ? '' : mount.source,
    Destination: mount.destination,
    ...(mount.type === 'volume' && { Driver: 'local' }),
    Mode: mountMode(mount, options),
    RW: !mount.readonly,
    Propagation: mount.type === 'bind' ? propagation : '',
  };
}

/** Docker's Config: what the container was made with */
export function containerConfig(context: EngineContext, container: Container): object {
  const { config } = container;
  const { options } = config;
  const attach = options.attach ?? { stdin: options.interactive, stdout: true, stderr: true };
  const image = context.images.find(config.imageId)?.config.config ?? {};
  const exposed = new Set([
    ...Object.keys(image.ExposedPorts ?? {}),
    ...options.expose.map(withProtocol),
    ...options.publish.map((entry) => withProtocol(entry.slice(entry.lastIndexOf(':') + 1))),
  ]);
  const anonymous = options.mounts
    .filter(({ type, source, createSource }) => type === 'volume' && source === undefined && createSource)
    .map(({ target }) => target);
  const volumes = [...new Set([...Object.keys(image.Volumes ?? {}), ...anonymous])];
  return {
    Hostname: config.hostname,
    Domainname: options.domainname ?? '',
    User: config.user,
    AttachStdin: attach.stdin,
    AttachStdout: attach.stdout,
    AttachStderr: attach.stderr,
    ...(exposed.size > 0 && { ExposedPorts: Object.fromEntries([...exposed].map((port) => [port, {}])) }),
    Tty: options.tty,
    OpenStdin: options.interactive,
    // stdin ends with whoever was to be attached to it
    StdinOnce: options.interactive && attach.stdin,
    Env: config.env,
    Cmd: config.command?.length ? config.command : null,
    // of Go's `omitempty`
    ...(config.healthcheck && {
      Healthcheck: Object.fromEntries(Object.entries(config.healthcheck).filter(([, value]) => value !== 0)),
    }),
    Image: config.image,
    Volumes: volumes.length > 0 ? Object.fromEntries(volumes.map((path) => [path, {}])) : null,
    WorkingDir: config.workdir === '/' ? (options.workdir ?? image.WorkingDir ?? '') : config.workdir,
    Entrypoint: config.entrypoint?.length ? config.entrypoint : null,
    OnBuild: null,
    Labels: config.labels,
    StopSignal: config.stopSignal,
    ...(options.stopTimeout !== undefined && { StopTimeout: options.stopTimeout }),
    ...(image.Shell && { Shell: image.Shell }),
  };
}

function hostConfig(container: Container): object {
  const { options } = container.config;
  const { resources } = options;
  const capabilities = effectiveCapabilities({ add: options.capAdd, drop: options.capDrop });
  return {
    Binds: orNull(options.mounts.filter(isBindText).map(bindText)),
    ContainerIDFile: '',
    LogConfig: { Type: options.logDriver, Config: options.logOptions },
    NetworkMode: networkName(container),
    PortBindings: portBindings(options.publish),
    RestartPolicy: { Name: options.restart.name, MaximumRetryCount: options.restart.maximumRetryCount },
    AutoRemove: options.autoRemove,
    VolumeDriver: '',
    VolumesFrom: orNull(options.volumesFrom),
    ConsoleSize: options.consoleSize ? [options.consoleSize.rows, options.consoleSize.columns] : [0, 0],
    ...(Object.keys(options.annotations).length > 0 && { Annotations: options.annotations }),
    CapAdd: orNull(capabilities.add),
    CapDrop: orNull(capabilities.drop),
    CgroupnsMode: options.cgroupns ?? 'private',
    Dns: options.dns,
    DnsOptions: options.dnsOptions,
    DnsSearch: options.dnsSearch,
    ExtraHosts: orNull(options.extraHosts),
    GroupAdd: orNull(options.groupAdd),
    IpcMode: options.ipc ?? 'private',
    Cgroup: '',
    Links: null,
    OomScoreAdj: options.oomScoreAdj ?? 0,
    PidMode: options.pid ?? '',
    Privileged: options.privileged,
    PublishAllPorts: options.publishAll,
    ReadonlyRootfs: options.readOnly,
    SecurityOpt: orNull(options.securityOpt),
    ...(Object.keys(options.tmpfs).length > 0 && { Tmpfs: options.tmpfs }),
    UTSMode: options.uts ?? '',
    UsernsMode: options.userns ?? '',
    ShmSize: options.shmSize ?? SHM_SIZE,
    ...(Object.keys(options.sysctls).length > 0 && { Sysctls: options.sysctls }),
    ...(options.storageSize !== undefined && { StorageOpt: { size: String(options.storageSize) } }),
    Runtime: 'husk',
    Isolation: '',
    CpuShares: resources.cpuShares ?? 0,
    Memory: resources.memory ?? 0,
    NanoCpus: Math.round((resources.cpus ?? 0) * 1e9),
    CgroupParent: options.cgroupParent ?? '',
    BlkioWeight: resources.blkioWeight ?? 0,
    BlkioWeightDevice: (resources.blkioWeightDevice ?? []).map((entry) => ({
      Path: entry.slice(0, entry.lastIndexOf(':')),
      Weight: Number(entry.slice(entry.lastIndexOf(':') + 1)),
    })),
    BlkioDeviceReadBps: throttles(resources.deviceReadBps, { bytes: true }),
    BlkioDeviceWriteBps: throttles(resources.deviceWriteBps, { bytes: true }),
    BlkioDeviceReadIOps: throttles(resources.deviceReadIops, { bytes: false }),
    BlkioDeviceWriteIOps: throttles(resources.deviceWriteIops, { bytes: false }),
    CpuPeriod: resources.cpuPeriod ?? 0,
    CpuQuota: resources.cpuQuota ?? 0,
    CpuRealtimePeriod: 0,
    CpuRealtimeRuntime: 0,
    CpusetCpus: resources.cpusetCpus ?? '',
    CpusetMems: resources.cpusetMems ?? '',
    Devices: options.devices.filter((text) => !isCdiDevice(text)).map(deviceMapping),
    DeviceCgroupRules: options.deviceRules?.length ? options.deviceRules : null,
    DeviceRequests: options.devices.some(isCdiDevice)
      ? [{ Driver: 'cdi', Count: 0, DeviceIDs: options.devices.filter(isCdiDevice), Capabilities: null, Options: null }]
      : null,
    MemoryReservation: resources.memoryReservation ?? 0,
    MemorySwap: resources.memorySwap || 2 * (resources.memory ?? 0),
    MemorySwappiness: resources.memorySwappiness ?? null,
    OomKillDisable: resources.oomKillDisable ?? null,
    PidsLimit: resources.pidsLimit ?? null,
    Ulimits: options.ulimits.map(({ name, soft, hard }) => ({ Name: name, Soft: soft, Hard: hard })),
    CpuCount: 0,
    CpuPercent: 0,
    IOMaximumIOps: 0,
    IOMaximumBandwidth: 0,
    Mounts: mountRequests(options),
    MaskedPaths: shownPaths(options, MASKED_PATHS),
    ReadonlyPaths: shownPaths(options, READONLY_PATHS),
    Init: options.init || undefined,
  };
}

/** As Docker has them: none at all for --privileged, an empty list for --security-opt systempaths=unconfined. */
function shownPaths({ privileged, securityOpt }: CreateOptions, paths: readonly string[]): readonly string[] | null {
  if (privileged) return null;
  return securityOpt.includes('systempaths=unconfined') ? [] : paths;
}

function networkSettings(container: Container): object {
  const name = networkName(container);
  const joined = name.startsWith('container:');
  const endpoint = {
    IPAMConfig: null,
    Links: null,
    Aliases: null,
    MacAddress: '',
    DriverOpts: null,
    GwPriority: 0,
    NetworkID: '',
    EndpointID: '',
    Gateway: '',
    IPAddress: '',
    IPPrefixLen: 0,
    IPv6Gateway: '',
    GlobalIPv6Address: '',
    GlobalIPv6PrefixLen: 0,
    DNSNames: null,
  };
  return {
    Bridge: '',
    SandboxID: '',
    SandboxKey: container.state.pid > 0 ? `/proc/${container.state.pid}/ns/net` : '',
    Ports: Object.fromEntries(reachablePorts(container).map((port) => [port, null])),
    HairpinMode: false,
    LinkLocalIPv6Address: '',
    LinkLocalIPv6PrefixLen: 0,
    SecondaryIPAddresses: null,
    SecondaryIPv6Addresses: null,
    EndpointID: '',
    Gateway: '',
    GlobalIPv6Address: '',
    GlobalIPv6PrefixLen: 0,
    IPAddress: '',
    IPPrefixLen: 0,
    IPv6Gateway: '',
    MacAddress: '',
    Networks: joined ? {} : { [name]: endpoint },
  };
}

/** Was it typed as `-v`, with a source? */
function isBindText({ type, source, createSource }: CreateOptions['mounts'][number]): boolean {
  return (type === 'bind' || type === 'volume') && source !== undefined && createSource;
}

function bindText(mount: CreateOptions['mounts'][number]): string {
  const modes = [...(mount.readonly ? ['ro'] : []), ...mount.options];
  return `${mount.source}:${mount.target}${modes.length > 0 ? `:${modes.join(',')}` : ''}`;
}

function mountRequests(options: CreateOptions): object[] | undefined {
  const asked = options.mounts.filter((mount) => !mount.createSource);
  if (asked.length === 0) return undefined;
  return asked.map((mount) => ({
    Type: mount.type,
    ...(mount.source !== undefined && { Source: mount.source }),
    Target: mount.target,
    ...(mount.readonly && { ReadOnly: true }),
    ...mountOptions(mount),
  }));
}

/** what `--mount` said for one type of mounts alone, under Docker's names */
function mountOptions({ type, options }: CreateOptions['mounts'][number]): object {
  const has = (name: string) => (options.includes(name) ? true : undefined);
  const valueOf = (name: string) => options.find((option) => option.startsWith(`${name}=`))?.slice(name.length + 1);
  const pairs = (name: string) => {
    const all = options
      .filter((option) => option.startsWith(`${name}=`))
      .map((option) => option.slice(name.length + 1).split(/=(.*)/s));
    return all.length > 0 ? Object.fromEntries(all.map(([key, value]) => [key, value ?? ''])) : undefined;
  };
  const group = (name: string, fields: Record<string, unknown>) => {
    const given = Object.entries(fields).filter(([, value]) => value !== undefined);
    return given.length > 0 ? { [name]: Object.fromEntries(given) } : {};
  };
  if (type === 'bind')
    return group('BindOptions', {
      Propagation: options.find((option) => /^r?(shared|slave|private)$/.test(option)),
      NonRecursive: has('bind-nonrecursive'),
      ReadOnlyNonRecursive: has('bind-recursive=writable'),
      ReadOnlyForceRecursive: has('bind-recursive=readonly'),
    });
  if (type === 'volume') {
    const [name, volumeOptions] = [valueOf('volume-driver'), pairs('volume-opt')];
    return group('VolumeOptions', {
      NoCopy: has('nocopy'),
      Labels: pairs('volume-label'),
      Subpath: valueOf('volume-subpath'),
      DriverConfig:
        name === undefined && volumeOptions === undefined
          ? undefined
          : { ...(name !== undefined && { Name: name }), ...(volumeOptions && { Options: volumeOptions }) },
    });
  }
  if (type === 'image') return group('ImageOptions', { Subpath: valueOf('image-subpath') || undefined });
  const [size, mode] = [valueOf('tmpfs-size'), valueOf('tmpfs-mode')];
  return group('TmpfsOptions', {
    SizeBytes: size === undefined ? undefined : Number(size),
    Mode: mode === undefined ? undefined : parseInt(mode, 8),
  });
}

function deviceMapping(text: string): object {
  const [host = '', second, third] = text.split(':');
  const isMode = second !== undefined && /^[rwm]{1,3}$/.test(second);
  return {
    PathOnHost: host,
    PathInContainer: second === undefined || isMode ? host : second,
    CgroupPermissions: third ?? (isMode ? second : 'rwm'),
  };
}

/** One port of the container may be published several times. */
function portBindings(entries: readonly string[]): Record<string, object[]> {
  const found: Record<string, object[]> = {};
  for (const [port, bindings] of entries.map(portBinding)) (found[port] ??= []).push(...bindings);
  return found;
}

/** `[ip:][host:]container[/protocol]` */
function portBinding(entry: string): [string, object[]] {
  const cut = entry.lastIndexOf(':');
  const container = withProtocol(entry.slice(cut + 1));
  const before = cut === -1 ? '' : entry.slice(0, cut);
  const colon = before.lastIndexOf(':');
  return [container, [{ HostIp: colon === -1 ? '' : before.slice(0, colon), HostPort: before.slice(colon + 1) }]];
}

/** What a library caller wrote with units is a number here too. */
function throttles(entries: readonly string[] | undefined, options: { bytes: boolean }): object[] {
  return (entries ?? []).map((entry) => {
    const { path, rate } = deviceRate(entry, options);
    return { Path: path, Rate: rate };
  });
}

function orNull(values: string[]): string[] | null {
  return values.length > 0 ? values : null;
}
