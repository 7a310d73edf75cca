/** What single values of `run`'s lists must look like, with the client's own error texts. Pure; used by the flag table. */
import { isIP } from 'node:net';
import { isCdiDevice } from '../../engine/create/spec/cdi.ts';
import { parseBytes } from '../../notation/sizes.ts';

export function validateIp(text: string): void {
  if (isIP(text.trim()) === 0) throw new Error(`IP address is not correctly formatted: ${text}`);
}

/** `host:ip` or `host=ip`, IPv6 bare or in brackets, or the word host-gateway. @returns `host:ip` */
export function parseExtraHost(text: string): string {
  const match = /^([^:=]+)[:=](.+)$/.exec(text);
  if (!match) throw new Error(`bad format for add-host: ${JSON.stringify(text)}`);
  const address = match[2]!.replace(/^\[(.*)\]$/, '$1');
  if (address !== 'host-gateway' && isIP(address) === 0)
    throw new Error(`invalid IP address in add-host: ${JSON.stringify(address)}`);
  return `${match[1]}:${address}`;
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

/** Kernel settings that belong to a namespace, sysctl(8) names. Source: docker/cli opts.ValidateSysctl. */
const IPC_SYSCTLS = new Set([
  'kernel.msgmax',
  'kernel.msgmnb',
  'kernel.msgmni',
  'kernel.sem',
  'kernel.shmall',
  'kernel.shmmax',
  'kernel.shmmni',
  'kernel.shm_rmid_forced',
]);

export function validateSysctl(text: string): void {
  const equals = text.indexOf('=');
  const name = text.slice(0, equals);
  if (equals === -1 || !(IPC_SYSCTLS.has(name) || name.startsWith('net.') || name.startsWith('fs.mqueue.')))
    throw new Error(`sysctl '${text}' is not allowed`);
}

/** `/dev/sda:1mb` or, for operations a second, `/dev/sda:1000`. @returns `/dev/sda:1048576` */
export function parseDeviceRate(text: string, unit: 'bytes' | 'operations'): string {
  const colon = text.indexOf(':');
  if (colon === -1) throw new Error(`bad format: ${text}`);
  const device = text.slice(0, colon);
  if (!device.startsWith('/dev/')) throw new Error(`bad format for device path: ${text}`);
  const rate = text.slice(colon + 1);
  if (unit === 'operations') {
    if (!/^\d{1,15}$/.test(rate))
      throw new Error(
        `invalid rate for device: ${text}. The correct format is <device-path>:<number>. Number must be a positive integer`,
      );
    return `${device}:${Number(rate)}`;
  }
  try {
    return `${device}:${parseBytes(rate)}`;
  } catch {
    throw new Error(
      `invalid rate for device: ${text}. The correct format is <device-path>:<number>[<unit>]. Number must be a positive integer. Unit is optional and can be kb, mb, or gb`,
    );
  }
}

/** docker/cli cli/command/container/opts.go deviceCgroupRuleRegexp */
export function validateDeviceRule(text: string): void {
  if (!/^[acb] (\d{1,7}|\*):(\d{1,7}|\*) [rwm]{1,3}$/.test(text))
    throw new Error(`invalid device cgroup format '${text}'`);
}

/** `/dev/x[:/dev/y[:rwm]]`, or `vendor/class=name` of the Container Device Interface */
export function validateDevice(text: string): void {
  if (isCdiDevice(text)) return;
  const parts = text.split(':');
  const mode = parts.length === 3 ? parts[2]! : parts.length === 2 && !parts[1]!.startsWith('/') ? parts[1]! : 'rwm';
  if (parts.length > 3 || !parts[0]!.startsWith('/')) throw new Error(`bad format for path: ${text}`);
  if (!/^[rwm]{1,3}$/.test(mode) || new Set(mode).size !== mode.length) throw new Error(`bad mode specified: ${mode}`);
}

/** `80`, `80/udp`, `8000-8010/tcp` */
export function validateExpose(text: string): void {
  const match = /^(\d{1,5})(?:-(\d{1,5}))?(?:\/(tcp|udp|sctp))?$/.exec(text);
  if (!match || Number(match[1]) > 0xffff || Number(match[2] ?? match[1]) > 0xffff)
    throw new Error(`invalid range format for --expose: ${text}`);
  if (match[2] !== undefined && Number(match[2]) < Number(match[1]))
    throw new Error(`invalid range format for --expose: ${text}, error: invalid range specified for port: ${text}`);
}

/** `90-92/udp` → `90/udp`, `91/udp`, `92/udp`; one that validateExpose has seen */
export function expandExpose(text: string): string[] {
  const [ports = '', protocol = 'tcp'] = text.split('/');
  const [first = 0, last = first] = ports.split('-').map(Number);
  return Array.from({ length: last - first + 1 }, (_, index) => `${first + index}/${protocol}`);
}

/** `/dev/sda:500`. @returns the same */
export function parseDeviceWeight(text: string): string {
  const [device, weight, ...more] = text.split(':');
  if (weight === undefined || more.length > 0) throw new Error(`bad format: ${text}`);
  if (!device!.startsWith('/dev/')) throw new Error(`bad format for device path: ${text}`);
  if (!/^\d{1,4}$/.test(weight) || (Number(weight) !== 0 && (Number(weight) < 10 || Number(weight) > 1000)))
    throw new Error(`invalid weight for device: ${text}`);
  return text;
}
