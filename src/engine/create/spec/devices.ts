/** `--device` → spec devices and cgroup device rules. Source: docker/cli parseDevice; moby oci/devices. */
import type { Device, Resources } from '../../../container/spec.ts';
import { HuskError } from '../../../errors.ts';

export interface DeviceRequest {
  host: string;
  container: string;
  /** of r, w, m */
  access: string;
}

/** @param text `/dev/x[:/dev/y][:rwm]` @throws HuskError `invalid` in Docker's words */
export function parseDevice(text: string): DeviceRequest {
  const [host = '', second, third, ...rest] = text.split(':');
  const isMode = (part: string | undefined) =>
    part !== undefined && part !== '' && /^[rwm]{1,3}$/.test(part) && new Set(part).size === part.length;
  if (rest.length > 0 || host === '') throw new HuskError(`invalid device specification: ${text}`, { kind: 'invalid' });
  const access = third ?? (isMode(second) ? second! : 'rwm');
  const container = second === undefined || second === '' || (third === undefined && isMode(second)) ? host : second;
  if (!isMode(access)) throw new HuskError(`invalid device specification: ${text}`, { kind: 'invalid' });
  if (!container.startsWith('/')) throw new HuskError(`${container} is not an absolute path`, { kind: 'invalid' });
  return { host, container, access };
}

/** @param text `c 42:* rmw` @throws HuskError `invalid` in Docker's words */
export function parseDeviceRule(text: string): NonNullable<Resources['devices']>[number] {
  const [, type, major, minor, access] = /^([acb]) (\d{1,7}|\*):(\d{1,7}|\*) ([rwm]{1,3})$/.exec(text) ?? [];
  if (type === undefined) throw new HuskError(`invalid device cgroup format '${text}'`, { kind: 'invalid' });
  const number = (part: string | undefined) => (part === '*' ? {} : { number: Number(part) });
  const [first, second] = [number(major), number(minor)];
  return {
    allow: true,
    type,
    ...('number' in first && { major: first.number }),
    ...('number' in second && { minor: second.number }),
    access,
  };
}

/** @param look devices at a host path: one for a node, all below it for a folder; undefined when there is none */
export function deviceNodes(
  requests: readonly DeviceRequest[],
  look: (path: string) => Device[] | undefined,
): Device[] {
  return requests.flatMap(({ host, container, access }) => {
    const found = look(host);
    if (!found)
      throw new HuskError(
        `error gathering device information while adding custom device "${host}": no such file or directory`,
        { kind: 'invalid' },
      );
    return found.map((device) => ({
      ...device,
      source: device.path,
      path: container + device.path.slice(host.length),
      ...(access !== 'rwm' && { access }),
    }));
  });
}

/** linux Documentation/admin-guide/devices.txt: null zero full random urandom, tty, tun, fuse. The same numbers mean the same in a guest; of others they are its disks. */
const OF_ANY_LINUX = new Set(['1:3', '1:5', '1:7', '1:8', '1:9', '5:0', '10:200', '10:229']);

export function isOfAnyLinux({ type, major, minor }: Pick<Device, 'type' | 'major' | 'minor'>): boolean {
  return type === 'c' && OF_ANY_LINUX.has(`${major}:${minor}`);
}

/** The same by their usual paths, before anything of the host is looked at. */
export const PATHS_OF_ANY_LINUX: ReadonlySet<string> = new Set([
  '/dev/null',
  '/dev/zero',
  '/dev/full',
  '/dev/random',
  '/dev/urandom',
  '/dev/tty',
  '/dev/net/tun',
  '/dev/fuse',
]);
