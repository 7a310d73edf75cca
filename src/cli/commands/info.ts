/** `husk info`: what the engine tells of itself and of this host, as Docker's client lays it out. */
import type { Invocation } from '../grammar/command.ts';
import { objectFormat, writeObject } from '../output/object-format.ts';
import { printable } from '../output/printable.ts';
import { binarySize } from '../output/units.ts';
import { versionInfo } from './version.ts';
import { INFO } from '../types/info.ts';

/** the controllers in the order in which the text names them, and a limit of Docker's that needs each */
const CONTROLLERS: [controller: string, limit: string][] = [
  ['memory', 'MemoryLimit'],
  ['cpu', 'CpuCfsQuota'],
  ['cpuset', 'CPUSet'],
  ['pids', 'PidsLimit'],
  ['io', 'BlkioLimit'],
];

interface Registries {
  IndexConfigs: Record<string, { Name: string; Secure: boolean }>;
  InsecureRegistryCIDRs: string[];
  Mirrors: string[];
}

export async function run({ flags, context }: Invocation): Promise<number> {
  const format = flags.string('format');
  const show = format === '' ? undefined : objectFormat(format, INFO);
  const engine = await context.engine();
  const data: Record<string, unknown> = {
    ...(await engine.info()),
    ClientInfo: { Debug: false, ...versionInfo().Client, Plugins: [], Warnings: null },
    ServerErrors: [],
  };
  if (show) writeObject((output) => show(data, output), context.stdout);
  else {
    context.stdout.write(printable(text(data), context.stdout, { lines: true }));
    for (const warning of data['Warnings'] as string[]) context.stderr.write(`${warning}\n`);
  }
  return 0;
}

/**
 * Lays the text out as docker/cli cli/command/system/info.go does, so that scripts find their lines; husk's own lines
 * come last.
 */
function text(data: Record<string, unknown>): string {
  const limits = CONTROLLERS.map(([controller, limit]) => `${controller} ${data[limit] ? 'yes' : 'no'}`).join(', ');
  const registries = data['RegistryConfig'] as Registries;
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
    ...(data['DriverStatus'] as [string, string][]).map(([name, value]) => `  ${name}: ${value}`),
    ` Logging Driver: ${data['LoggingDriver']}`,
    ` Cgroup Driver: ${data['CgroupDriver']}`,
    ` Cgroup Version: ${data['CgroupVersion']}`,
    ' Plugins:',
    `  Volume: ${plugins.Volume.join(' ')}`,
    `  Network: ${plugins.Network.join(' ')}`,
    `  Log: ${plugins.Log.join(' ')}`,
    ...list('CDI spec directories', data['CDISpecDirs'] as string[]),
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
    ...list('Insecure Registries', [
      ...Object.values(registries.IndexConfigs).flatMap(({ Name, Secure }) => (Secure ? [] : [Name])),
      ...registries.InsecureRegistryCIDRs,
    ]),
    ...list('Registry Mirrors', registries.Mirrors),
    ' Live Restore Enabled: true',
    ...list(
      'Default Address Pools',
      (data['DefaultAddressPools'] as { Base: string; Size: number }[]).map(
        ({ Base, Size }) => ` Base: ${Base}, Size: ${Size}`,
      ),
    ),
    ` Default Isolation: ${data['DefaultIsolation']}${data['DefaultIsolation'] === 'auto' ? ` (${data['VirtualMachines'] ? 'vm' : 'userns'})` : ''}`,
    ` Virtual Machines: ${data['VirtualMachinesReason']}`,
    ` Runtime Folder: ${data['RuntimeDir']}`,
    ` Limits: ${limits}`,
    `  Cgroup: ${data['Limits']}`,
    ...(data['LimitsFix'] === '' ? [] : [`  Fix: ${data['LimitsFix']}`]),
  ].join('\n')}\n`;
}

/**
 * @returns the lines of an option: `name=seccomp,profile=builtin` is a line for its name, and one for its profile below
 */
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
