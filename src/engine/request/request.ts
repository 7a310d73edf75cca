/**
 * The door by which every container comes in: reads what was typed (CreateOptions), once, into values (CreateRequest).
 * A record keeps the CreateOptions, as JSON whose form does not change; who starts or shows a container reads it again
 * here, and no file below looks into one of its texts. The command line, the library and whoever comes next (the HTTP
 * API, `RUN` of a build, networks of one's own) fill in CreateOptions and call `create`: form is checked here, what
 * excludes what in spec/check.ts. Knows neither this host nor an isolation. Pure.
 */
import { HuskError } from '../../errors.ts';
import {
  isCdiDevice,
  parseDevice,
  parseDeviceRate,
  parseDeviceRule,
  parseDeviceWeight,
  type DeviceAccessRule,
  type DeviceRate,
  type DeviceRequest,
  type DeviceWeight,
} from '../../notation/devices.ts';
import {
  parseCgroupnsMode,
  parseIpcMode,
  parseNetworkMode,
  parsePidMode,
  parseUsernsMode,
  parseUtsMode,
  type CgroupnsMode,
  type IpcMode,
  type NetworkMode,
  type PidMode,
  type UsernsMode,
  type UtsMode,
} from '../../notation/modes.ts';
import { parseTmpfsOptions, readMountOptions, type MountSettings } from '../../notation/mount-options.ts';
import { parseEgress, type EgressRule } from '../../notation/egress.ts';
import { parseExtraHost, type ExtraHost } from '../../notation/extra-hosts.ts';
import { parsePublish, withProtocol, type PortBinding } from '../../notation/ports.ts';
import type { CreateOptions, MountRequest, ResourceRequest } from '../contract.ts';
import { readLink, readNetworks, type RequestedNetwork } from './networks.ts';
import { parseSecurityOptions, type SecurityOptions } from './security.ts';

/** What CreateRequest has as values. */
type Read =
  | 'network'
  | 'networks'
  | 'links'
  | 'ipc'
  | 'pid'
  | 'uts'
  | 'userns'
  | 'cgroupns'
  | 'mounts'
  | 'tmpfs'
  | 'extraHosts'
  | 'egress'
  | 'publish'
  | 'expose'
  | 'securityOpt'
  | 'devices'
  | 'deviceRules'
  | 'resources'
  | 'logDriver'
  | 'logOptions';

export interface CreateRequest extends Omit<CreateOptions, Read> {
  attach: NonNullable<CreateOptions['attach']>;
  stdinOnce: boolean;
  /** the first of `networks` */
  network: NetworkMode;
  networks: RequestedNetwork[];
  /** on the default network */
  links: { container: string; alias: string }[];
  ipc: IpcMode;
  pid: PidMode;
  uts: UtsMode;
  userns: UsernsMode;
  cgroupns: CgroupnsMode;
  mounts: RequestedMount[];
  tmpfs: { destination: string; options: string[] }[];
  extraHosts: ExtraHost[];
  /** none: it goes anywhere */
  egress: EgressRule[];
  /** one for each port of the container */
  publish: PortBinding[];
  /** `80/tcp` */
  expose: string[];
  security: SecurityOptions;
  devices: RequestedDevice[];
  /** `vendor/class=name` */
  cdiDevices: string[];
  deviceRules: RequestedRule[];
  resources: LimitRequest;
  log: { driver: string; options: Record<string, string> };
}

export interface RequestedMount extends MountRequest {
  settings: MountSettings;
}

/** `text` is how it was typed, for errors. */
type RequestedDevice = DeviceRequest & { text: string };
type RequestedRule = { text: string; rule: DeviceAccessRule };

type Rates = 'deviceReadBps' | 'deviceWriteBps' | 'deviceReadIops' | 'deviceWriteIops';

export interface LimitRequest extends Omit<ResourceRequest, Rates | 'blkioWeightDevice'>, Record<Rates, DeviceRate[]> {
  blkioWeightDevice: DeviceWeight[];
}

/** @throws HuskError `invalid` in Docker's words for the first text that cannot be read */
export function readRequest(options: CreateOptions): CreateRequest {
  const { logDriver, logOptions, securityOpt, ...same } = options;
  const attach = options.attach ?? { stdin: options.interactive, stdout: true, stderr: true };
  return {
    ...same,
    attach,
    stdinOnce: options.stdinOnce ?? (options.interactive && attach.stdin),
    network: parseNetworkMode(options.network),
    networks: readNetworks(options),
    links: (options.links ?? []).map(readLink),
    ipc: parseIpcMode(options.ipc),
    pid: parsePidMode(options.pid),
    uts: parseUtsMode(options.uts),
    userns: parseUsernsMode(options.userns),
    cgroupns: parseCgroupnsMode(options.cgroupns),
    security: parseSecurityOptions(securityOpt),
    devices: options.devices.filter((text) => !isCdiDevice(text)).map((text) => ({ text, ...parseDevice(text) })),
    cdiDevices: options.devices.filter(isCdiDevice),
    deviceRules: (options.deviceRules ?? []).map((text) => ({ text, rule: refusing(() => parseDeviceRule(text)) })),
    tmpfs: Object.entries(options.tmpfs).map(([destination, text]) => ({
      destination,
      options: parseTmpfsOptions(text),
    })),
    mounts: options.mounts.map((mount) => ({ ...mount, settings: readMountOptions(mount.type, mount.options) })),
    extraHosts: options.extraHosts.map((text) => refusing(() => parseExtraHost(text))),
    egress: refusing(() => parseEgress(options.egress ?? [])),
    publish: options.publish.flatMap((text) => refusing(() => parsePublish(text))),
    expose: options.expose.map(withProtocol),
    shmSize: inRange(
      options.shmSize,
      (size) => size >= 0,
      () => 'SHM size can not be less than 0',
    ),
    oomScoreAdj: inRange(
      options.oomScoreAdj,
      (value) => value >= -1000 && value <= 1000,
      (value) => `Invalid value ${value}, range for oom score adj is [-1000, 1000]`,
    ),
    resources: readLimits(options.resources),
    log: { driver: logDriver, options: logOptions },
  };
}

/** The limits of `create` and of `update`. @throws HuskError `invalid` in Docker's words */
export function readLimits(asked: ResourceRequest): LimitRequest {
  const rates = (texts: readonly string[] | undefined, unit: 'bytes' | 'operations') =>
    (texts ?? []).map((text) => refusing(() => parseDeviceRate(text, unit)));
  return {
    ...asked,
    blkioWeightDevice: (asked.blkioWeightDevice ?? []).map((text) => refusing(() => parseDeviceWeight(text))),
    deviceReadBps: rates(asked.deviceReadBps, 'bytes'),
    deviceWriteBps: rates(asked.deviceWriteBps, 'bytes'),
    deviceReadIops: rates(asked.deviceReadIops, 'operations'),
    deviceWriteIops: rates(asked.deviceWriteIops, 'operations'),
  };
}

/** Whether any limit is asked for: most containers ask for none, and what checks limits is not loaded then. */
export function asksForLimits({ cgroupParent, resources }: Pick<CreateRequest, 'cgroupParent' | 'resources'>): boolean {
  return (
    Boolean(cgroupParent) ||
    Object.values(resources).some((value) =>
      Array.isArray(value) ? value.length > 0 : value !== undefined && value !== 0,
    )
  );
}

function inRange(
  value: number | undefined,
  fits: (value: number) => boolean,
  message: (value: number) => string,
): number | undefined {
  if (value === undefined || fits(value)) return value;
  throw new HuskError(message(value), { kind: 'invalid' });
}

/** Parsers that flags share throw plain errors, to which the command line adds the flag. */
function refusing<T>(parse: () => T): T {
  try {
    return parse();
  } catch (cause) {
    throw new HuskError((cause as Error).message, { kind: 'invalid', cause });
  }
}
