/**
 * Parses `--device`, `--device-cgroup-rule`, and the rates and weights of devices. A device is named by its path; what
 * lies there is not looked up here. Source: docker/cli cli/command/container/opts.go, opts/throttledevice.go,
 * opts/weightdevice.go. These functions are pure.
 */
import { HuskError } from '../errors.ts';
import { readSize } from './sizes.ts';

export interface DeviceRequest {
  host: string;
  container: string;
  /** some of r, w, m */
  access: string;
}

/** A rule in the form of a runtime spec; a number that is missing stands for any. */
export interface DeviceAccessRule {
  allow: true;
  /** type of the device: a, c, b */
  type: string;
  major?: number;
  minor?: number;
  access: string;
}

export interface DeviceRate {
  path: string;
  /** bytes or operations per second */
  rate: number;
}

export interface DeviceWeight {
  path: string;
  weight: number;
}

/** container-device-interface SPEC.md § Kind, § Device names */
const QUALIFIED =
  /^([A-Za-z](?:[\w.-]{0,126}[A-Za-z0-9])?)\/([A-Za-z](?:[\w.-]{0,126}[A-Za-z0-9])?)=([A-Za-z0-9](?:[\w.:-]{0,126}[A-Za-z0-9])?)$/;

/** @returns whether a text is `vendor/class=name` of the Container Device Interface */
export function isCdiDevice(text: string): boolean {
  return QUALIFIED.test(text);
}

/** @returns whether a text is some of `rwm`, each at most once */
export function isDeviceAccess(text: string): boolean {
  return /^[rwm]{1,3}$/.test(text) && new Set(text).size === text.length;
}

/** Parses `/dev/x[:/dev/y][:rwm]`. @throws HuskError `invalid` in Docker's words */
export function parseDevice(text: string): DeviceRequest {
  const [host = '', second = '', third, ...rest] = text.split(':');
  const endsInAccess = third === undefined && isDeviceAccess(second);
  const access = third ?? (endsInAccess ? second : 'rwm');
  const container = second === '' || endsInAccess ? host : second;
  if (rest.length > 0 || host === '' || !isDeviceAccess(access))
    throw new HuskError(`invalid device specification: ${text}`, { kind: 'invalid' });
  if (!container.startsWith('/')) throw new HuskError(`${container} is not an absolute path`, { kind: 'invalid' });
  return { host, container, access };
}

/** Parses `c 42:* rmw`. @throws Error in Docker's words */
export function parseDeviceRule(text: string): DeviceAccessRule {
  const [, type, major, minor, access] = /^([acb]) (\d{1,7}|\*):(\d{1,7}|\*) ([rwm]{1,3})$/.exec(text) ?? [];
  if (type === undefined) throw new Error(`invalid device cgroup format '${text}'`);
  return {
    allow: true,
    type,
    ...(major !== '*' && { major: Number(major) }),
    ...(minor !== '*' && { minor: Number(minor) }),
    access: access!,
  };
}

/** Parses `/dev/sda:1mb` and, for operations, `/dev/sda:1000`. @throws Error in Docker's words */
export function parseDeviceRate(text: string, unit: 'bytes' | 'operations'): DeviceRate {
  const [path, value] = deviceAndValue(text);
  const rate = unit === 'bytes' ? readSize(value, 1024) : /^\d{1,15}$/.test(value) ? Number(value) : undefined;
  if (rate === undefined)
    throw new Error(
      `invalid rate for device: ${text}. The correct format is <device-path>:<number>${unit === 'bytes' ? '[<unit>]. Number must be a positive integer. Unit is optional and can be kb, mb, or gb' : '. Number must be a positive integer'}`,
    );
  return { path, rate };
}

/** Parses `/dev/sda:500`. @throws Error in Docker's words */
export function parseDeviceWeight(text: string): DeviceWeight {
  const [path, value] = deviceAndValue(text);
  const weight = Number(value);
  // The weight 0 means that the device has none of its own.
  if (!/^\d{1,4}$/.test(value) || (weight !== 0 && !isWeight(weight)))
    throw new Error(`invalid weight for device: ${text}`);
  return { path, weight };
}

/**
 * @returns whether blkio accepts a weight: linux Documentation/admin-guide/cgroup-v1/blkio-controller.rst §
 * blkio.weight
 */
export const isWeight = (weight: number): boolean => weight >= 10 && weight <= 1000;

/** Splits at the last colon, because paths of devices may have colons (`/dev/disk/by-path/…`) and values have none. */
function deviceAndValue(text: string): [path: string, value: string] {
  const colon = text.lastIndexOf(':');
  if (colon === -1) throw new Error(`bad format: ${text}`);
  const path = text.slice(0, colon);
  if (!path.startsWith('/dev/')) throw new Error(`bad format for device path: ${text}`);
  return [path, text.slice(colon + 1)];
}
