/** Devices asked for → the nodes of a spec. Source: moby oci/devices. Pure. */
import type { Device } from '../../../spec.ts';
import { HuskError } from '../../../errors.ts';
import type { DeviceRequest } from '../../../notation/devices.ts';

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

/**
 * linux Documentation/admin-guide/devices.txt: null zero full random urandom, tty, tun, fuse. The same numbers mean the
 * same in a guest; of others they are its disks.
 */
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
