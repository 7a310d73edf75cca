/**
 * Finds the device nodes that a spec names on the machine this process runs on: the host's for user namespaces, the
 * guest's in a VM. The functions only read.
 */
import { lstatSync, readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { HuskError } from '../errors.ts';
import type { Device } from '../spec.ts';

/** most nodes below one `--device` folder; more are a mistake, or an attack on the plan's size */
const MAX_DEVICES = 1024;
/** Docker leaves these names to the container's own mounts. */
const CONTAINERS_OWN = ['pts', 'shm', 'fd', 'mqueue', '.lxc', '.lxd-mounts', '.udev', 'console'];

/**
 * @returns one device for a node, and all devices below it for a folder; undefined when there is nothing at the path. A
 * symbolic link is followed only where the path itself is one: /dev/stdin leads to whatever this process has open.
 * @throws HuskError `limit`
 */
export function devicesAt(path: string, look: typeof statSync = statSync): Device[] | undefined {
  let stat;
  try {
    stat = look(path)!;
  } catch {
    return undefined;
  }
  if (stat.isDirectory()) {
    const found: Device[] = [];
    for (const name of readdirSync(path)) {
      if (path === '/dev' && CONTAINERS_OWN.includes(name)) continue;
      found.push(...(devicesAt(join(path, name), lstatSync as typeof statSync) ?? []));
      if (found.length > MAX_DEVICES)
        throw new HuskError(`more than ${MAX_DEVICES} devices below ${path}`, { kind: 'limit' });
    }
    return found;
  }
  if (!stat.isCharacterDevice() && !stat.isBlockDevice()) return [];
  // st_rdev is packed as by makedev(3).
  const major = ((stat.rdev >>> 8) & 0xfff) | (Math.floor(stat.rdev / 2 ** 32) & ~0xfff);
  const minor = (stat.rdev & 0xff) | ((stat.rdev >>> 12) & 0xfff00);
  return [
    {
      path,
      type: stat.isBlockDevice() ? 'b' : 'c',
      major,
      minor,
      fileMode: stat.mode & 0o7777,
      uid: stat.uid,
      gid: stat.gid,
    },
  ];
}
