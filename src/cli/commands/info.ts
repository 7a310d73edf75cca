/** `husk info`: what husk has, and what this host is and can limit. Docker's names where Docker has them. */
import { arch, cpus, hostname, release, totalmem, type } from 'node:os';
import { readFileSync } from 'node:fs';
import { paths } from '../../paths.ts';
import { readConfig } from '../../config.ts';
import type { Invocation } from '../grammar/command.ts';
import { objectFormat, writeObject } from '../output/object-format.ts';
import { printable } from '../output/printable.ts';
import { binarySize } from '../output/units.ts';
import { versionInfo } from './version.ts';
import { INFO } from '../types/info.ts';
import { VERSION } from '../../version.ts';

/** Docker's names of architectures in `info`: uname -m */
const MACHINES: Record<string, string> = { x64: 'x86_64', arm64: 'aarch64' };
/** Docker's names of limits, the cgroup v2 controller each needs, and Docker's warning where it is missing */
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
/** the controllers, as the text names them */
const CONTROLLERS = [...new Set(LIMITS.map(([, controller]) => controller))];

/** src/logs/options.ts has them */
const LOG_DRIVERS = ['fluentd', 'journald', 'json-file', 'local', 'none', 'syslog'];

export async function run({ flags, context }: Invocation): Promise<number> {
  const format = flags.string('format');
  const show = format === '' ? undefined : objectFormat(format, INFO);
  const engine = await context.engine();
  const containers = engine.list({ all: true });
  const count = (...states: string[]): number => containers.filter(({ state }) => states.includes(state.status)).length;
  const { limits: cgroup, machines } = await engine.hostFacts();
  const config = readConfig(context.globals.configFile ?? paths({ env: context.env }).configFile);
  const where = paths({
    env: context.env,
    dataRoot:
      context.globals.dataRoot ?? (context.env['HUSK_DATA_ROOT'] === undefined ? config['data-root'] : undefined),
  });
  // the fact lists the controllers that work here before those that do not
  const working = /no limits/.test(cgroup.value) ? '' : cgroup.value.replace(/\(not .*/, '');
  const enforced = (controller: string): boolean => new RegExp(`\\b${controller}\\b`).test(working);
  const data: Record<string, unknown> = {
    Architecture: MACHINES[arch()] ?? arch(),
    CgroupVersion: /no cgroup v2/.test(cgroup.value) ? '1' : '2',
    Containers: containers.length,
    ContainersPaused: count('paused'),
    ContainersRunning: count('running', 'restarting'),
    ContainersStopped: containers.length - count('paused', 'running', 'restarting'),
    DefaultIsolation: config['default-isolation'] ?? 'auto',
    DockerRootDir: where.dataRoot,
    Driver: 'overlay',
    Images: engine.images.list().length,
    IndexServerAddress: 'https://index.docker.io/v1/',
    KernelVersion: release(),
    LoggingDriver: config['log-driver'] ?? 'json-file',
    MemTotal: totalmem(),
    NCPU: cpus().length,
    Name: hostname(),
    OSType: type().toLowerCase(),
    OperatingSystem: prettyName(),
    RuntimeDir: where.runtimeDir,
    ServerVersion: VERSION,
    CgroupDriver: working === '' ? 'none' : working.includes('systemd') ? 'systemd' : 'cgroupfs',
    DefaultRuntime: 'husk',
    ExperimentalBuild: false,
    HttpProxy: context.env['HTTP_PROXY'] ?? context.env['http_proxy'] ?? '',
    HttpsProxy: context.env['HTTPS_PROXY'] ?? context.env['https_proxy'] ?? '',
    NoProxy: context.env['NO_PROXY'] ?? context.env['no_proxy'] ?? '',
    InitBinary: 'husk-init',
    // containers run on while nothing of husk but their supervisors does
    LiveRestoreEnabled: true,
    Plugins: { Volume: ['local'], Network: ['bridge', 'host', 'none'], Authorization: null, Log: LOG_DRIVERS },
    RegistryMirrors: config['registry-mirrors'] ?? [],
    InsecureRegistries: config['insecure-registries'] ?? [],
    Runtimes: { husk: {} },
    SecurityOptions: ['name=seccomp,profile=builtin', 'name=rootless', 'name=cgroupns'],
    // of a daemon that is none, for scripts that ask: what Docker says where it has nothing to say
    ID: hostname(),
    Labels: [],
    Debug: false,
    ClientInfo: { Debug: false, ...versionInfo().Client, Plugins: [], Warnings: null },
    Swarm: {
      LocalNodeState: 'inactive',
      ControlAvailable: false,
      NodeID: '',
      NodeAddr: '',
      RemoteManagers: null,
      Error: '',
    },
    RegistryConfig: { IndexConfigs: {}, InsecureRegistryCIDRs: [], Mirrors: config['registry-mirrors'] ?? [] },
    DriverStatus: [],
    IPv4Forwarding: true,
    NFd: 0,
    NGoroutines: 0,
    NEventsListener: 0,
    OSVersion: '',
    Isolation: '',
    OomKillDisable: false,
    ...Object.fromEntries(['RuncCommit', 'ContainerdCommit', 'InitCommit'].map((name) => [name, { ID: '' }])),
    ServerErrors: [],
    GenericResources: null,
    DefaultAddressPools: [],
    SystemTime: new Date(context.now()).toISOString(),
    VirtualMachines: machines.status === 'ok',
    VirtualMachinesReason: machines.value,
    Warnings: LIMITS.filter(([, controller]) => !enforced(controller)).map(([, , warning]) => `WARNING: ${warning}`),
    Limits: cgroup.value,
    LimitsFix: cgroup.fix ?? '',
    ...Object.fromEntries(LIMITS.map(([name, controller]) => [name, enforced(controller)])),
  };
  if (show) writeObject((output) => show(data, output), context.stdout);
  else {
    context.stdout.write(printable(text(data), context.stdout, { lines: true }));
    for (const warning of data['Warnings'] as string[]) context.stderr.write(`${warning}\n`);
  }
  return 0;
}

/** As docker/cli cli/command/system/info.go lays it out, so that scripts find their lines; husk's own come last. */
function text(data: Record<string, unknown>): string {
  const limits = CONTROLLERS.map(
    (controller) => `${controller} ${data[LIMITS.find(([, needed]) => needed === controller)![0]] ? 'yes' : 'no'}`,
  ).join(', ');
  const plugins = data['Plugins'] as Record<'Volume' | 'Network' | 'Log', string[]>;
  const given = (label: string, value: unknown): string[] => (value === '' ? [] : [` ${label}: ${value}`]);
  const list = (label: string, values: string[]): string[] =>
    values.length === 0 ? [] : [` ${label}:`, ...values.map((value) => `  ${value}`)];
  const client = data['ClientInfo'] as ReturnType<typeof versionInfo>['Client'];
  return `${[
    `Client: ${client.Platform.Name}`,
    ` Version:    ${client.Version}`,
    ` Context:    ${client.Context}`,
    ' Debug Mode: false',
    '',
    'Server:',
    ` Containers: ${data['Containers']}`,
    `  Running: ${data['ContainersRunning']}`,
    `  Paused: ${data['ContainersPaused']}`,
    `  Stopped: ${data['ContainersStopped']}`,
    ` Images: ${data['Images']}`,
    ` Server Version: ${data['ServerVersion']}`,
    ` Storage Driver: ${data['Driver']}`,
    ` Logging Driver: ${data['LoggingDriver']}`,
    ` Cgroup Driver: ${data['CgroupDriver']}`,
    ` Cgroup Version: ${data['CgroupVersion']}`,
    ' Plugins:',
    `  Volume: ${plugins.Volume.join(' ')}`,
    `  Network: ${plugins.Network.join(' ')}`,
    `  Log: ${plugins.Log.join(' ')}`,
    ' Swarm: inactive',
    ` Runtimes: ${Object.keys(data['Runtimes'] as object).join(' ')}`,
    ` Default Runtime: ${data['DefaultRuntime']}`,
    ` Init Binary: ${data['InitBinary']}`,
    ' Security Options:',
    ...(data['SecurityOptions'] as string[]).flatMap(securityLines),
    ` Kernel Version: ${data['KernelVersion']}`,
    ` Operating System: ${data['OperatingSystem']}`,
    ` OSType: ${data['OSType']}`,
    ` Architecture: ${data['Architecture']}`,
    ` CPUs: ${data['NCPU']}`,
    ` Total Memory: ${binarySize(data['MemTotal'] as number)}`,
    ` Name: ${data['Name']}`,
    ` ID: ${data['ID']}`,
    ` Docker Root Dir: ${data['DockerRootDir']}`,
    ' Debug Mode: false',
    ...given('HTTP Proxy', data['HttpProxy']),
    ...given('HTTPS Proxy', data['HttpsProxy']),
    ...given('No Proxy', data['NoProxy']),
    ' Experimental: false',
    ...list('Insecure Registries', data['InsecureRegistries'] as string[]),
    ...list('Registry Mirrors', data['RegistryMirrors'] as string[]),
    ' Live Restore Enabled: true',
    ` Default Isolation: ${data['DefaultIsolation']}${data['DefaultIsolation'] === 'auto' ? ` (${data['VirtualMachines'] ? 'vm' : 'userns'})` : ''}`,
    ` Virtual Machines: ${data['VirtualMachinesReason']}`,
    ` Runtime Folder: ${data['RuntimeDir']}`,
    ` Limits: ${limits}`,
    `  Cgroup: ${data['Limits']}`,
    ...(data['LimitsFix'] === '' ? [] : [`  Fix: ${data['LimitsFix']}`]),
  ].join('\n')}\n`;
}

/** `name=seccomp,profile=builtin` is a line, and one for its profile below it. */
function securityLines(option: string): string[] {
  const [name, ...rest] = option.split(',');
  return [
    `  ${name!.replace(/^name=/, '')}`,
    ...rest.map(
      (pair) =>
        `   ${pair.replace(/^(\w)(\w*)=/, (_, first: string, more: string) => `${first.toUpperCase()}${more}: `)}`,
    ),
  ];
}

/** os-release(5) */
function prettyName(): string {
  try {
    return /^PRETTY_NAME="?([^"\n]*)/m.exec(readFileSync('/etc/os-release', 'utf8'))?.[1] ?? 'Linux';
  } catch {
    return 'Linux';
  }
}
