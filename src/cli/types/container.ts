/**
 * The type that `docker container inspect` gives templates: container.InspectResponse of moby 28.2, field by field.
 * This module has data only.
 */
import {
  array,
  bool,
  embedded,
  field,
  int,
  map,
  named,
  omitEmpty,
  own,
  pointer,
  slice,
  string,
  STRING_MAP,
  STRINGS,
  struct,
} from '../template/go-types.ts';
import {
  CGROUPNS_MODE,
  CGROUP_SPEC,
  DURATION,
  FILE_MODE,
  IPC_MODE,
  ISOLATION,
  NETWORK_MODE,
  PID_MODE,
  PORT,
  RESTART_POLICY,
  STR_SLICE,
  TIME,
  USERNS_MODE,
  UTS_MODE,
} from './basics.ts';
import { DESCRIPTOR } from './descriptor.ts';

const HEALTHCHECK_RESULT = struct('container.HealthcheckResult', {
  Start: TIME,
  End: TIME,
  ExitCode: int,
  Output: string,
});
const HEALTH = struct('container.Health', {
  Status: string,
  FailingStreak: int,
  Log: slice(pointer(HEALTHCHECK_RESULT)),
});
const STATE = struct('container.State', {
  Status: string,
  Running: bool,
  Paused: bool,
  Restarting: bool,
  OOMKilled: bool,
  Dead: bool,
  Pid: int,
  ExitCode: int,
  Error: string,
  StartedAt: string,
  FinishedAt: string,
  Health: omitEmpty(pointer(HEALTH)),
});

export const EMPTY_STRUCT = struct('struct {}', {});
export const HEALTHCHECK = struct('v1.HealthcheckConfig', {
  Test: omitEmpty(STRINGS),
  Interval: omitEmpty(DURATION),
  Timeout: omitEmpty(DURATION),
  StartPeriod: omitEmpty(DURATION),
  StartInterval: omitEmpty(DURATION),
  Retries: omitEmpty(int),
});

export const CONFIG = struct('container.Config', {
  Hostname: string,
  Domainname: string,
  User: string,
  AttachStdin: bool,
  AttachStdout: bool,
  AttachStderr: bool,
  ExposedPorts: omitEmpty(map(EMPTY_STRUCT, PORT, 'nat.PortSet')),
  Tty: bool,
  OpenStdin: bool,
  StdinOnce: bool,
  Env: STRINGS,
  Cmd: STR_SLICE,
  Healthcheck: omitEmpty(pointer(HEALTHCHECK)),
  ArgsEscaped: omitEmpty(bool),
  Image: string,
  Volumes: map(EMPTY_STRUCT),
  WorkingDir: string,
  Entrypoint: STR_SLICE,
  NetworkDisabled: omitEmpty(bool),
  MacAddress: omitEmpty(string),
  OnBuild: STRINGS,
  Labels: STRING_MAP,
  StopSignal: omitEmpty(string),
  StopTimeout: omitEmpty(pointer(int)),
  Shell: omitEmpty(STR_SLICE),
});

const PORT_BINDING = struct('nat.PortBinding', { HostIP: field('HostIp', string), HostPort: string });
const PORT_MAP = map(slice(PORT_BINDING), PORT, 'nat.PortMap');

type Rated = { Path?: string; Weight?: number; Rate?: number };
const WEIGHT_DEVICE = pointer(
  struct(
    'blkiodev.WeightDevice',
    { Path: string, Weight: int },
    { text: ({ Path = '', Weight = 0 }: Rated) => `${Path}:${Weight}` },
  ),
);
const THROTTLE_DEVICE = pointer(
  struct(
    'blkiodev.ThrottleDevice',
    { Path: string, Rate: int },
    { text: ({ Path = '', Rate = 0 }: Rated) => `${Path}:${Rate}` },
  ),
);
type Limit = { Name?: string; Soft?: number; Hard?: number };
const ULIMIT = pointer(
  struct(
    'units.Ulimit',
    { Name: string, Hard: int, Soft: int },
    { text: ({ Name = '', Soft = 0, Hard = 0 }: Limit) => `${Name}=${Soft}:${Hard}` },
  ),
);

const RESOURCES = struct('container.Resources', {
  CPUShares: field('CpuShares', int),
  Memory: int,
  NanoCPUs: field('NanoCpus', int),
  CgroupParent: string,
  BlkioWeight: int,
  BlkioWeightDevice: slice(WEIGHT_DEVICE),
  BlkioDeviceReadBps: slice(THROTTLE_DEVICE),
  BlkioDeviceWriteBps: slice(THROTTLE_DEVICE),
  BlkioDeviceReadIOps: slice(THROTTLE_DEVICE),
  BlkioDeviceWriteIOps: slice(THROTTLE_DEVICE),
  CPUPeriod: field('CpuPeriod', int),
  CPUQuota: field('CpuQuota', int),
  CPURealtimePeriod: field('CpuRealtimePeriod', int),
  CPURealtimeRuntime: field('CpuRealtimeRuntime', int),
  CpusetCpus: string,
  CpusetMems: string,
  Devices: slice(
    struct('container.DeviceMapping', { PathOnHost: string, PathInContainer: string, CgroupPermissions: string }),
  ),
  DeviceCgroupRules: STRINGS,
  DeviceRequests: slice(
    struct('container.DeviceRequest', {
      Driver: string,
      Count: int,
      DeviceIDs: STRINGS,
      Capabilities: slice(STRINGS),
      Options: STRING_MAP,
    }),
  ),
  KernelMemory: omitEmpty(int),
  KernelMemoryTCP: omitEmpty(int),
  MemoryReservation: int,
  MemorySwap: int,
  MemorySwappiness: pointer(int),
  OomKillDisable: pointer(bool),
  PidsLimit: pointer(int),
  Ulimits: slice(ULIMIT),
  CPUCount: field('CpuCount', int),
  CPUPercent: field('CpuPercent', int),
  IOMaximumIOps: int,
  IOMaximumBandwidth: int,
});

const MOUNT_TYPE = named('string', 'mount.Type');
const PROPAGATION = named('string', 'mount.Propagation');
const MOUNT = struct('mount.Mount', {
  Type: omitEmpty(MOUNT_TYPE),
  Source: omitEmpty(string),
  Target: omitEmpty(string),
  ReadOnly: omitEmpty(bool),
  Consistency: omitEmpty(named('string', 'mount.Consistency')),
  BindOptions: omitEmpty(
    pointer(
      struct('mount.BindOptions', {
        Propagation: omitEmpty(PROPAGATION),
        NonRecursive: omitEmpty(bool),
        CreateMountpoint: omitEmpty(bool),
        ReadOnlyNonRecursive: omitEmpty(bool),
        ReadOnlyForceRecursive: omitEmpty(bool),
      }),
    ),
  ),
  VolumeOptions: omitEmpty(
    pointer(
      struct('mount.VolumeOptions', {
        NoCopy: omitEmpty(bool),
        Labels: omitEmpty(STRING_MAP),
        Subpath: omitEmpty(string),
        DriverConfig: omitEmpty(
          pointer(struct('mount.Driver', { Name: omitEmpty(string), Options: omitEmpty(STRING_MAP) })),
        ),
      }),
    ),
  ),
  ImageOptions: omitEmpty(pointer(struct('mount.ImageOptions', { Subpath: omitEmpty(string) }))),
  TmpfsOptions: omitEmpty(
    pointer(
      struct('mount.TmpfsOptions', {
        SizeBytes: omitEmpty(int),
        Mode: omitEmpty(FILE_MODE),
        Options: omitEmpty(slice(STRINGS)),
      }),
    ),
  ),
  ClusterOptions: omitEmpty(pointer(struct('mount.ClusterOptions', {}))),
});

const HOST_CONFIG = struct('container.HostConfig', {
  Binds: STRINGS,
  ContainerIDFile: string,
  LogConfig: struct('container.LogConfig', { Type: string, Config: STRING_MAP }),
  NetworkMode: NETWORK_MODE,
  PortBindings: PORT_MAP,
  Egress: { ...omitEmpty(STRINGS), own: true },
  RestartPolicy: RESTART_POLICY,
  AutoRemove: bool,
  VolumeDriver: string,
  VolumesFrom: STRINGS,
  ConsoleSize: array(int, 2),
  Annotations: omitEmpty(STRING_MAP),
  CapAdd: STR_SLICE,
  CapDrop: STR_SLICE,
  CgroupnsMode: CGROUPNS_MODE,
  DNS: field('Dns', STRINGS),
  DNSOptions: field('DnsOptions', STRINGS),
  DNSSearch: field('DnsSearch', STRINGS),
  ExtraHosts: STRINGS,
  GroupAdd: STRINGS,
  IpcMode: IPC_MODE,
  Cgroup: CGROUP_SPEC,
  Links: STRINGS,
  OomScoreAdj: int,
  PidMode: PID_MODE,
  Privileged: bool,
  PublishAllPorts: bool,
  ReadonlyRootfs: bool,
  SecurityOpt: STRINGS,
  StorageOpt: omitEmpty(STRING_MAP),
  Tmpfs: omitEmpty(STRING_MAP),
  UTSMode: UTS_MODE,
  UsernsMode: USERNS_MODE,
  ShmSize: int,
  Sysctls: omitEmpty(STRING_MAP),
  Runtime: omitEmpty(string),
  Isolation: ISOLATION,
  Resources: embedded(RESOURCES),
  Mounts: omitEmpty(slice(MOUNT)),
  MaskedPaths: STRINGS,
  ReadonlyPaths: STRINGS,
  Init: omitEmpty(pointer(bool)),
});

export const DRIVER_DATA = struct('storage.DriverData', { Data: STRING_MAP, Name: string });

const BASE = struct('container.ContainerJSONBase', {
  ID: field('Id', string),
  Created: string,
  Path: string,
  Args: STRINGS,
  State: pointer(STATE),
  Image: string,
  ResolvConfPath: string,
  HostnamePath: string,
  HostsPath: string,
  LogPath: string,
  Name: string,
  RestartCount: int,
  Driver: string,
  Platform: string,
  MountLabel: string,
  ProcessLabel: string,
  AppArmorProfile: string,
  ExecIDs: STRINGS,
  HostConfig: pointer(HOST_CONFIG),
  GraphDriver: DRIVER_DATA,
  SizeRw: omitEmpty(pointer(int)),
  SizeRootFs: omitEmpty(pointer(int)),
});

const MOUNT_POINT = struct('container.MountPoint', {
  Type: omitEmpty(MOUNT_TYPE),
  Name: omitEmpty(string),
  Source: string,
  Destination: string,
  Driver: omitEmpty(string),
  Mode: string,
  RW: bool,
  Propagation: PROPAGATION,
});

const IPAM_CONFIG = struct('network.EndpointIPAMConfig', {
  IPv4Address: omitEmpty(string),
  IPv6Address: omitEmpty(string),
  LinkLocalIPs: omitEmpty(STRINGS),
});
const ENDPOINT = struct('network.EndpointSettings', {
  IPAMConfig: pointer(IPAM_CONFIG),
  Links: STRINGS,
  Aliases: STRINGS,
  MacAddress: string,
  DriverOpts: STRING_MAP,
  GwPriority: int,
  NetworkID: string,
  EndpointID: string,
  Gateway: string,
  IPAddress: string,
  IPPrefixLen: int,
  IPv6Gateway: string,
  GlobalIPv6Address: string,
  GlobalIPv6PrefixLen: int,
  DNSNames: STRINGS,
});
const ADDRESSES = slice(struct('network.Address', { Addr: string, PrefixLen: int }));
const NETWORK_SETTINGS = struct('container.NetworkSettings', {
  NetworkSettingsBase: embedded(
    struct('container.NetworkSettingsBase', {
      Bridge: string,
      SandboxID: string,
      SandboxKey: string,
      Ports: PORT_MAP,
      HairpinMode: bool,
      LinkLocalIPv6Address: string,
      LinkLocalIPv6PrefixLen: int,
      SecondaryIPAddresses: ADDRESSES,
      SecondaryIPv6Addresses: ADDRESSES,
    }),
  ),
  DefaultNetworkSettings: embedded(
    struct('container.DefaultNetworkSettings', {
      EndpointID: string,
      Gateway: string,
      GlobalIPv6Address: string,
      GlobalIPv6PrefixLen: int,
      IPAddress: string,
      IPPrefixLen: int,
      IPv6Gateway: string,
      MacAddress: string,
    }),
  ),
  Networks: map(pointer(ENDPOINT)),
});

export const CONTAINER = struct('container.InspectResponse', {
  ContainerJSONBase: embedded(pointer(BASE)),
  Mounts: slice(MOUNT_POINT),
  Config: pointer(CONFIG),
  NetworkSettings: pointer(NETWORK_SETTINGS),
  ImageManifestDescriptor: omitEmpty(pointer(DESCRIPTOR)),
  Isolation: own(string),
  ForkedFrom: { ...omitEmpty(string), own: true },
});
