/**
 * Docker's JSON of `info` (SystemInfo of its Engine API), with husk's own fields beside it: what husk has, what this
 * host is, and which limits it can enforce. Nothing is tried.
 */
import { createHash } from 'node:crypto';
import { readFileSync, statfsSync } from 'node:fs';
import { arch, cpus, hostname, release, totalmem, type } from 'node:os';
import type { Config } from '../../config.ts';
import type { Fact } from '../../rootless/doctor.ts';
import { VERSION } from '../../version.ts';
import { CDI_FOLDERS } from '../create/cdi-files.ts';
import type { EngineContext } from '../record/context.ts';
import { resolveAll } from '../record/reconcile.ts';

/** architectures by Docker's names in `info`, which are those of uname -m */
const MACHINES: Record<string, string> = { x64: 'x86_64', arm64: 'aarch64' };
/** Docker's names of limits, the cgroup v2 controller that each needs, and Docker's warning where it is missing */
const LIMITS: [name: string, controller: string, warning: string][] = [
  ['MemoryLimit', 'memory', 'No memory limit support'],
  ['SwapLimit', 'memory', 'No swap limit support'],
  ['CpuCfsPeriod', 'cpu', 'No cpu cfs period support'],
  ['CpuCfsQuota', 'cpu', 'No cpu cfs quota support'],
  ['CPUShares', 'cpu', 'No cpu shares support'],
  ['CPUSet', 'cpuset', 'No cpuset support'],
  ['PidsLimit', 'pids', 'No pids limit support'],
  ['BlkioLimit', 'io', 'No blkio limit support'],
];
/** the drivers of src/logs/options.ts */
const LOG_DRIVERS = ['fluentd', 'journald', 'json-file', 'local', 'none', 'syslog'];
/** magic numbers of statfs(2) by moby's names of file systems (daemon/graphdriver/driver_linux.go) */
const FILE_SYSTEMS = new Map([
  [0xef53, 'extfs'],
  [0x5846_5342, 'xfs'],
  [0x9123_683e, 'btrfs'],
  [0x2fc1_2fc1, 'zfs'],
  [0x0102_1994, 'tmpfs'],
  [0x794c_7630, 'overlayfs'],
  [0xf2f5_2010, 'f2fs'],
]);

export async function info(context: EngineContext): Promise<object> {
  const { limits, machines } = await (await import('./doctor.ts')).hostFacts(context.paths);
  return {
    ID: identity(context),
    ...counts(context),
    ...ofHost(),
    ...ofConfig(context.config, process.env),
    ...ofLimits(limits),
    Driver: 'overlay',
    DriverStatus: [
      // By these words clients know an engine that keeps images of several platforms, and loads OCI archives of them.
      ['driver-type', 'io.containerd.snapshotter.v1'],
      ['Backing Filesystem', fileSystem(context.paths.dataRoot)],
      ['userxattr', 'true'],
    ],
    DockerRootDir: context.paths.dataRoot,
    Plugins: { Volume: ['local'], Network: ['bridge', 'host', 'none'], Authorization: null, Log: LOG_DRIVERS },
    ServerVersion: VERSION,
    DefaultRuntime: 'husk',
    // which isolation, where `HostConfig.Runtime` asks for one; husk chooses
    Runtimes: { husk: {}, userns: {}, vm: {} },
    InitBinary: 'husk-init',
    SecurityOptions: [
      'name=seccomp,profile=builtin',
      ...(process.geteuid!() === 0 ? [] : ['name=rootless']),
      'name=cgroupns',
    ],
    // Containers keep running while their supervisors are the only husk processes.
    LiveRestoreEnabled: true,
    CDISpecDirs: CDI_FOLDERS,
    ...NEVER_OTHERWISE,
    RuntimeDir: context.paths.runtimeDir,
    VirtualMachines: machines.status === 'ok',
    VirtualMachinesReason: machines.value,
  };
}

/** What has one value in husk, which has no daemon and is in no swarm. */
const NEVER_OTHERWISE = {
  ExperimentalBuild: false,
  Labels: [],
  Debug: false,
  Swarm: {
    LocalNodeState: 'inactive',
    ControlAvailable: false,
    NodeID: '',
    NodeAddr: '',
    RemoteManagers: null,
    Error: '',
  },
  IPv4Forwarding: true,
  // clients of old warn where the host's bridges pass packets by; husk's networks do not depend on it
  BridgeNfIptables: true,
  BridgeNfIp6tables: true,
  NFd: 0,
  NGoroutines: 0,
  NEventsListener: 0,
  Isolation: '',
  OomKillDisable: false,
  RuncCommit: { ID: '' },
  ContainerdCommit: { ID: '' },
  InitCommit: { ID: '' },
  GenericResources: null,
};

/**
 * A UUID of the data root. It is made of the default network's id, which is random, made with the database and never
 * changed: so there is nothing to write, and two that ask at once are told the same.
 */
function identity({ database }: EngineContext): string {
  const row = database.prepare("SELECT id FROM networks WHERE name = 'bridge'").get() as { id: string } | undefined;
  const bytes = createHash('sha256')
    .update(`husk info ${row?.id ?? hostname()}`)
    .digest()
    .subarray(0, 16);
  // version 8, RFC 9562 § 5.8: its bits are the maker's own
  bytes[6] = (bytes[6]! & 0x0f) | 0x80;
  bytes[8] = (bytes[8]! & 0x3f) | 0x80;
  return bytes.toString('hex').replace(/^(.{8})(.{4})(.{4})(.{4})/, '$1-$2-$3-$4-');
}

function counts(context: EngineContext): object {
  const containers = resolveAll(context);
  const count = (...states: string[]): number => containers.filter(({ state }) => states.includes(state.status)).length;
  return {
    Containers: containers.length,
    ContainersPaused: count('paused'),
    ContainersRunning: count('running', 'restarting'),
    ContainersStopped: containers.length - count('paused', 'running', 'restarting'),
    Images: context.images.list().length,
  };
}

function ofHost(): object {
  const { name, version } = distribution();
  return {
    Architecture: MACHINES[arch()] ?? arch(),
    KernelVersion: release(),
    MemTotal: totalmem(),
    NCPU: cpus().length,
    Name: hostname(),
    OSType: type().toLowerCase(),
    OperatingSystem: name,
    OSVersion: version,
    // Go's RFC3339Nano cuts off trailing zeros.
    SystemTime: new Date().toISOString().replace(/\.?0+Z$/, 'Z'),
  };
}

function ofConfig(config: Config, env: NodeJS.ProcessEnv): object {
  const mirrors = config['registry-mirrors'] ?? [];
  const insecure = config['insecure-registries'] ?? [];
  return {
    DefaultIsolation: config['default-isolation'] ?? 'auto',
    LoggingDriver: config['log-driver'] ?? 'json-file',
    HttpProxy: env['HTTP_PROXY'] ?? env['http_proxy'] ?? '',
    HttpsProxy: env['HTTPS_PROXY'] ?? env['https_proxy'] ?? '',
    NoProxy: env['NO_PROXY'] ?? env['no_proxy'] ?? '',
    IndexServerAddress: 'https://index.docker.io/v1/',
    RegistryConfig: {
      IndexConfigs: Object.fromEntries([
        ['docker.io', { Name: 'docker.io', Mirrors: mirrors, Secure: true, Official: true }],
        ...insecure.map((host) => [host, { Name: host, Mirrors: [], Secure: false, Official: false }] as const),
      ]),
      InsecureRegistryCIDRs: ['::1/128', '127.0.0.0/8'],
      Mirrors: mirrors,
    },
    DefaultAddressPools: (config['default-address-pools'] ?? []).map(({ base, size }) => ({ Base: base, Size: size })),
  };
}

/** @param fact lists the controllers that work here before those that do not */
export function ofLimits({ value, fix = '' }: Pick<Fact, 'value' | 'fix'>): Record<string, unknown> {
  const working = /no limits/.test(value) ? '' : value.replace(/\(not .*/, '');
  const enforced = (controller: string): boolean => new RegExp(`\\b${controller}\\b`).test(working);
  return {
    CgroupVersion: /no cgroup v2/.test(value) ? '1' : '2',
    CgroupDriver: working === '' ? 'none' : working.includes('systemd') ? 'systemd' : 'cgroupfs',
    Warnings: LIMITS.filter(([, controller]) => !enforced(controller)).map(([, , warning]) => `WARNING: ${warning}`),
    Limits: value,
    LimitsFix: fix,
    ...Object.fromEntries(LIMITS.map(([name, controller]) => [name, enforced(controller)])),
  };
}

/** @returns name and version of the distribution, os-release(5) */
function distribution(): { name: string; version: string } {
  let text = '';
  try {
    text = readFileSync('/etc/os-release', 'utf8');
  } catch {
    // a host without one has a kernel all the same
  }
  const value = (key: string) => new RegExp(`^${key}="?([^"\\n]*)`, 'm').exec(text)?.[1];
  return { name: value('PRETTY_NAME') ?? 'Linux', version: value('VERSION_ID') ?? '' };
}

function fileSystem(folder: string): string {
  try {
    return FILE_SYSTEMS.get(statfsSync(folder).type) ?? '<unknown>';
  } catch {
    return '<unknown>';
  }
}
