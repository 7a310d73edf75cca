/**
 * The type that `docker info` gives templates: dockerInfo of docker/cli 28.2, system.Info of moby, and husk's own
 * fields. This module has data only.
 */
import {
  any,
  array,
  bool,
  embedded,
  field,
  int,
  map,
  omitEmpty,
  own,
  pointer,
  slice,
  string,
  STRING_MAP,
  STRINGS,
  struct,
  unwritten,
} from '../template/go-types.ts';
import { ISOLATION } from './basics.ts';
import { CLIENT_FIELDS } from './version.ts';

const COMMIT = struct('system.Commit', { ID: string, Expected: omitEmpty(string) });
const INDEX = struct('registry.IndexInfo', { Name: string, Mirrors: STRINGS, Secure: bool, Official: bool });
const SWARM = struct('swarm.Info', {
  NodeID: string,
  NodeAddr: string,
  LocalNodeState: string,
  ControlAvailable: bool,
  Error: string,
  RemoteManagers: slice(any),
  Nodes: omitEmpty(int),
  Managers: omitEmpty(int),
  Cluster: omitEmpty(pointer(struct('swarm.ClusterInfo', { ID: string }))),
  Warnings: omitEmpty(STRINGS),
});
const RUNTIME = struct('system.Runtime', {
  Path: omitEmpty(string, 'path'),
  Args: omitEmpty(STRINGS, 'runtimeArgs'),
  Type: omitEmpty(string, 'runtimeType'),
  Options: omitEmpty(map(any), 'options'),
});

const SYSTEM_INFO = struct('system.Info', {
  ID: string,
  Containers: int,
  ContainersRunning: int,
  ContainersPaused: int,
  ContainersStopped: int,
  Images: int,
  Driver: string,
  DriverStatus: slice(array(string, 2)),
  SystemStatus: omitEmpty(slice(array(string, 2))),
  Plugins: struct('system.PluginsInfo', { Volume: STRINGS, Network: STRINGS, Authorization: STRINGS, Log: STRINGS }),
  MemoryLimit: bool,
  SwapLimit: bool,
  KernelMemory: omitEmpty(bool),
  KernelMemoryTCP: omitEmpty(bool),
  CPUCfsPeriod: field('CpuCfsPeriod', bool),
  CPUCfsQuota: field('CpuCfsQuota', bool),
  CPUShares: bool,
  CPUSet: bool,
  PidsLimit: bool,
  IPv4Forwarding: bool,
  Debug: bool,
  NFd: int,
  OomKillDisable: bool,
  NGoroutines: int,
  SystemTime: string,
  LoggingDriver: string,
  CgroupDriver: string,
  CgroupVersion: omitEmpty(string),
  NEventsListener: int,
  KernelVersion: string,
  OperatingSystem: string,
  OSVersion: string,
  OSType: string,
  Architecture: string,
  IndexServerAddress: string,
  RegistryConfig: pointer(
    struct('registry.ServiceConfig', {
      IndexConfigs: map(pointer(INDEX)),
      InsecureRegistryCIDRs: STRINGS,
      Mirrors: STRINGS,
    }),
  ),
  NCPU: int,
  MemTotal: int,
  GenericResources: slice(any),
  DockerRootDir: string,
  HTTPProxy: field('HttpProxy', string),
  HTTPSProxy: field('HttpsProxy', string),
  NoProxy: string,
  Name: string,
  Labels: STRINGS,
  ExperimentalBuild: bool,
  ServerVersion: string,
  Runtimes: map(
    struct('system.RuntimeWithStatus', { Runtime: embedded(RUNTIME), Status: omitEmpty(STRING_MAP, 'status') }),
  ),
  DefaultRuntime: string,
  Swarm: SWARM,
  LiveRestoreEnabled: bool,
  Isolation: ISOLATION,
  InitBinary: string,
  ContainerdCommit: COMMIT,
  RuncCommit: COMMIT,
  InitCommit: COMMIT,
  SecurityOptions: STRINGS,
  ProductLicense: omitEmpty(string),
  DefaultAddressPools: omitEmpty(slice(struct('system.NetworkAddressPool', { Base: string, Size: int }))),
  FirewallBackend: omitEmpty(
    pointer(struct('system.FirewallInfo', { Driver: string, Info: omitEmpty(slice(array(string, 2))) })),
  ),
  CDISpecDirs: STRINGS,
  DiscoveredDevices: omitEmpty(slice(struct('system.DeviceInfo', { Source: string, ID: string }))),
  Containerd: omitEmpty(
    pointer(
      struct('system.ContainerdInfo', {
        Address: omitEmpty(string),
        Namespaces: struct('system.ContainerdNamespaces', { Containers: string, Plugins: string }),
      }),
    ),
  ),
  Warnings: STRINGS,
  DefaultIsolation: own(string),
  RuntimeDir: own(string),
  VirtualMachines: own(bool),
  VirtualMachinesReason: own(string),
  Limits: own(string),
  LimitsFix: own(string),
  BlkioLimit: own(bool),
});

export const INFO = struct('system.dockerInfo', {
  Info: embedded(pointer(SYSTEM_INFO)),
  ServerErrors: omitEmpty(STRINGS),
  UserName: unwritten(string),
  ClientInfo: omitEmpty(
    pointer(
      struct('system.clientInfo', {
        Debug: bool,
        clientVersion: embedded(struct('system.clientVersion', CLIENT_FIELDS)),
        Plugins: slice(any),
        Warnings: STRINGS,
      }),
    ),
  ),
  ClientErrors: omitEmpty(STRINGS),
});
