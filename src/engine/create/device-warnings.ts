/**
 * Devices whose nodes give a container in a user namespace no access: told at create, for inside there is only
 * "permission denied".
 */
import { statSync } from 'node:fs';
import type { DeviceRequest } from '../../notation/devices.ts';

/** rw of a mode's owner and others */
const OWNER_RW = 0o600;
const OTHERS_RW = 0o006;

/**
 * Groups do not count: those of the caller are nobody's in a user namespace. The host's root is not the container's, so
 * neither does its ownership.
 */
export function deviceWarnings(devices: readonly DeviceRequest[], uid: number = process.getuid!()): string[] {
  return devices.flatMap(({ host }) => {
    const stat = statSync(host, { throwIfNoEntry: false });
    // a folder's nodes are as they are; one that is missing is refused at the start
    if (!stat || stat.isDirectory()) return [];
    const mine = uid !== 0 && stat.uid === uid && (stat.mode & OWNER_RW) === OWNER_RW;
    if (mine || (stat.mode & OTHERS_RW) === OTHERS_RW) return [];
    return [
      `--device ${host}: its node (owner ${stat.uid}:${stat.gid}, mode ${(stat.mode & 0o7777).toString(8).padStart(4, '0')}) gives you no access, and in a user namespace a container has no more than you; your groups do not count there`,
    ];
  });
}
