/**
 * Checks single values of `run`'s lists, with the client's own error texts. These functions are pure; the flag table
 * uses them.
 */
import { isIP } from 'node:net';
import { isCdiDevice, isDeviceAccess } from '../../notation/devices.ts';
import { parseLink } from '../../notation/network-attachment.ts';
import { isIpcSysctl, isNetworkSysctl } from '../../notation/sysctls.ts';

export function validateIp(text: string): void {
  if (isIP(text.trim()) === 0) throw new Error(`IP address is not correctly formatted: ${text}`);
}

export function validateDnsSearch(text: string): void {
  if (text.trim() === '.') return;
  if (
    !/^(?:[a-zA-Z0-9](?:[a-zA-Z0-9_-]{0,61}[a-zA-Z0-9])?)(?:\.[a-zA-Z0-9](?:[a-zA-Z0-9_-]{0,61}[a-zA-Z0-9])?)*\.?$/.test(
      text,
    ) ||
    text.length > 255
  )
    throw new Error(`${text} is not a valid domain`);
}

export function validateEnv(text: string): void {
  if (text === '' || text.startsWith('=')) throw new Error(`invalid environment variable: ${text}`);
}

export function validateLabel(text: string): void {
  if (text === '' || text.startsWith('=')) throw new Error(`invalid label '${text}': empty name`);
}

export function validateAttach(text: string): void {
  if (!['stdin', 'stdout', 'stderr'].includes(text.toLowerCase()))
    throw new Error('valid streams are STDIN, STDOUT and STDERR');
}

/** Checks a sysctl. Source: docker/cli opts.ValidateSysctl. */
export function validateSysctl(text: string): void {
  const equals = text.indexOf('=');
  const name = text.slice(0, equals);
  if (equals === -1 || !(isIpcSysctl(name) || isNetworkSysctl(name)))
    throw new Error(`sysctl '${text}' is not allowed`);
}

/** Checks `/dev/x[:/dev/y[:rwm]]`, or `vendor/class=name` of the Container Device Interface. */
export function validateDevice(text: string): void {
  if (isCdiDevice(text)) return;
  const parts = text.split(':');
  const mode = parts.length === 3 ? parts[2]! : parts.length === 2 && !parts[1]!.startsWith('/') ? parts[1]! : 'rwm';
  if (parts.length > 3 || !parts[0]!.startsWith('/')) throw new Error(`bad format for path: ${text}`);
  if (!isDeviceAccess(mode)) throw new Error(`bad mode specified: ${mode}`);
}

/** Checks `container:alias`. */
export function validateLink(text: string): void {
  parseLink(text);
}
