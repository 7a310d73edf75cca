/** The rest of `HostConfig` of a create body: namespaces, capabilities, devices, security, logs, restarts. */
import type { CreateOptions } from '../../../../engine/contract.ts';
import { MASKED_PATHS, READONLY_PATHS } from '../../../../engine/create/spec/defaults.ts';
import { HuskError } from '../../../../errors.ts';
import { parseBytes } from '../../../../notation/sizes.ts';
import type { BodyFields } from '../../../http/body-fields.ts';
import { readDevices } from './devices.ts';
import { readIsolation } from './isolation.ts';
import { refuseInHostConfig } from './refused.ts';
import { refusing } from './refusing.ts';
import { readResources } from './resources.ts';

/** What of a request is the host's to give. */
export type HostOptions = Omit<
  CreateOptions,
  | keyof import('./config.ts').ConfigOptions
  | 'name'
  | 'pull'
  | 'platform'
  | 'mounts'
  | 'tmpfs'
  | 'network'
  | 'networks'
  | 'links'
  | 'expose'
  | 'publish'
  | 'publishAll'
>;

/** @throws HuskError `invalid` */
export function readHostConfig(host: BodyFields): HostOptions {
  refuseInHostConfig(host);
  checkVolumeDriver(host.text('VolumeDriver'));
  const log = host.object('LogConfig');
  return {
    ...readNamespaces(host),
    annotations: host.map('Annotations'),
    groupAdd: host.texts('GroupAdd'),
    autoRemove: host.flag('AutoRemove'),
    init: host.flag('Init'),
    restart: readRestart(host.object('RestartPolicy')),
    isolation: readIsolation(host),
    readOnly: host.flag('ReadonlyRootfs'),
    volumesFrom: host.texts('VolumesFrom'),
    dns: host.texts('Dns'),
    dnsSearch: host.texts('DnsSearch'),
    dnsOptions: host.texts('DnsOptions'),
    extraHosts: host.texts('ExtraHosts'),
    privileged: host.flag('Privileged'),
    capAdd: host.texts('CapAdd'),
    capDrop: host.texts('CapDrop'),
    securityOpt: readSecurity(host),
    devices: readDevices(host),
    deviceRules: host.texts('DeviceCgroupRules'),
    storageSize: readStorage(host.map('StorageOpt')),
    shmSize: host.positive('ShmSize'),
    sysctls: host.map('Sysctls'),
    ulimits: readUlimits(host),
    logDriver: log?.text('Type') ?? '',
    logOptions: log?.map('Config') ?? {},
    oomScoreAdj: host.positive('OomScoreAdj'),
    resources: readResources(host),
    consoleSize: readConsoleSize(host),
  };
}

function readNamespaces(
  host: BodyFields,
): Pick<CreateOptions, 'ipc' | 'pid' | 'uts' | 'userns' | 'cgroupns' | 'cgroupParent'> {
  return {
    ipc: host.optional('IpcMode'),
    pid: host.optional('PidMode'),
    uts: host.optional('UTSMode'),
    userns: host.optional('UsernsMode'),
    cgroupns: host.optional('CgroupnsMode'),
    cgroupParent: host.optional('CgroupParent'),
  };
}

/** Docker's only driver of volumes that is always there. */
function checkVolumeDriver(driver: string): void {
  if (driver !== '' && driver !== 'local')
    throw invalid(`error looking up volume plugin ${driver}: plugin "${driver}" not found`, 'use the driver local');
}

/** Also of an update body. @throws HuskError `invalid` in Docker's words (moby container.ValidateRestartPolicy) */
export function readRestart(policy: BodyFields | undefined): CreateOptions['restart'] {
  const name = policy?.text('Name') || 'no';
  const maximumRetryCount = policy?.integer('MaximumRetryCount') ?? 0;
  if (name !== 'no' && name !== 'always' && name !== 'unless-stopped' && name !== 'on-failure')
    throw invalid(
      `invalid restart policy: unknown policy '${name}'; use one of 'no', 'always', 'on-failure', or 'unless-stopped'`,
    );
  if (name !== 'on-failure' && maximumRetryCount !== 0)
    throw invalid(`invalid restart policy: maximum retry count cannot be used with restart policy '${name}'`);
  if (maximumRetryCount < 0) throw invalid('invalid restart policy: maximum retry count cannot be negative');
  return { name, maximumRetryCount };
}

/**
 * `SecurityOpt`, and what Docker's client makes of `systempaths=unconfined`: empty lists of masked and read-only paths,
 * where null is the default. Other lists than husk's own are refused.
 */
function readSecurity(host: BodyFields): string[] {
  const options = host.texts('SecurityOpt');
  const masked = pathsAsked(host, 'MaskedPaths', MASKED_PATHS);
  const readonly = pathsAsked(host, 'ReadonlyPaths', READONLY_PATHS);
  if (masked !== 'none' && readonly !== 'none') return options;
  if (masked !== readonly && !host.flag('Privileged'))
    throw invalid(
      `${host.path(masked === 'none' ? 'MaskedPaths' : 'ReadonlyPaths')}: both lists are emptied, or none`,
      'leave both out, or send [] for both',
    );
  return [...options, 'systempaths=unconfined'];
}

function pathsAsked(host: BodyFields, name: string, own: readonly string[]): 'none' | 'default' {
  if (!host.has(name)) return 'default';
  const paths = host.texts(name);
  if (paths.length === 0) return 'none';
  if (paths.length === own.length && paths.every((path) => own.includes(path))) return 'default';
  throw invalid(`${host.path(name)}: husk has one list of such paths`, 'leave it out, or send [] for none of them');
}

/** The one option that Docker's overlay2 has. @returns bytes */
function readStorage(options: Record<string, string>): number | undefined {
  let size: number | undefined;
  for (const [key, value] of Object.entries(options)) {
    if (key.toLowerCase() !== 'size') throw invalid(`unknown option ${key}`, 'use {"size": "10G"}');
    size = refusing(() => parseBytes(value));
  }
  return size;
}

function readUlimits(host: BodyFields): CreateOptions['ulimits'] {
  return host
    .objects('Ulimits')
    .map((each) => ({ name: each.text('Name'), soft: each.integer('Soft'), hard: each.integer('Hard') }));
}

/** Height and width; [0, 0] where there is no terminal. */
function readConsoleSize(host: BodyFields): CreateOptions['consoleSize'] {
  const [rows = 0, columns = 0] = host.integers('ConsoleSize');
  return rows > 0 && columns > 0 ? { rows, columns } : undefined;
}

function invalid(message: string, fix?: string): HuskError {
  return new HuskError(message, { kind: 'invalid', fix });
}
