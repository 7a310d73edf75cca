/**
 * Finds out what this host can do, by trying it. Each probe says what it found and never throws; a user reads the
 * result in `husk doctor`, and code that must choose asks the same probe. Probes start processes, so `run` never waits
 * for one.
 */
import {
  accessSync,
  chownSync,
  closeSync,
  constants,
  mkdirSync,
  openSync,
  rmSync,
  statfsSync,
  statSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { overlayOptions } from '../container/rootfs.ts';
import { findMapper, idMaps, isSetuidRoot, type IdKind, type IdMaps } from './idmap.ts';
import { namespaceFix } from '../launch/failure.ts';
import { runInUserNamespace, type NamespaceProgram } from './namespace.ts';
import { findProgram } from './programs.ts';
import { removeTree } from './trees.ts';
import { HuskError } from '../errors.ts';
import { LaunchError } from '../launch/error.ts';
import { readOptional } from '../host/files/read-optional.ts';

export interface Probe {
  ok: boolean;
  value: string;
  fix?: string;
}

const SYSCTLS = {
  clone: '/proc/sys/kernel/unprivileged_userns_clone',
  maximum: '/proc/sys/user/max_user_namespaces',
  apparmor: '/proc/sys/kernel/apparmor_restrict_unprivileged_userns',
} as const;

/** Parses `a.b.c-rest` into numbers that can be compared: "6.18.44-fc" → [6, 18] */
function parseRelease(release: string): [number, number] {
  const [major = 0, minor = 0] = release.split('.').map((part) => Number.parseInt(part, 10) || 0);
  return [major, minor];
}

export function atLeast(release: string, major: number, minor: number): boolean {
  const [have, low] = parseRelease(release);
  return have > major || (have === major && low >= minor);
}

/**
 * Reads the switches that a distribution may have set against user namespaces. It touches nothing but through `read`.
 */
export function probeSwitches(uid: number, read: (path: string) => string | undefined = readOptional): Probe {
  const maximum = read(SYSCTLS.maximum)?.trim();
  if (maximum === undefined)
    return { ok: false, value: 'the kernel has none', fix: 'use a kernel with CONFIG_USER_NS' };
  if (maximum === '0')
    return { ok: false, value: 'user.max_user_namespaces=0', fix: 'sudo sysctl user.max_user_namespaces=15000' };
  if (uid !== 0 && read(SYSCTLS.clone)?.trim() === '0')
    return {
      ok: false,
      value: 'kernel.unprivileged_userns_clone=0',
      fix: 'sudo sysctl kernel.unprivileged_userns_clone=1',
    };
  if (uid !== 0 && read(SYSCTLS.apparmor)?.trim() === '1')
    return {
      ok: false,
      value: 'kernel.apparmor_restrict_unprivileged_userns=1',
      fix: 'sudo sysctl kernel.apparmor_restrict_unprivileged_userns=0',
    };
  return { ok: true, value: `allowed, ${maximum} at most` };
}

/** Checks newuidmap or newgidmap: it must exist, and be privileged by the setuid bit or a file capability. */
export function probeMapper(kind: IdKind, path?: string): Probe {
  const program = path === undefined ? findMapper(kind) : findProgram(`new${kind}map`, path);
  if (program === undefined) return { ok: false, value: 'not installed', fix: 'apt install uidmap' };
  if (isSetuidRoot(program)) return { ok: true, value: `${program}, setuid root` };
  // A file capability serves as well, but shows only when it is tried, which the namespace's row does.
  return { ok: true, value: `${program}, not setuid: with a file capability, if the row below is green` };
}

export function probeRanges(maps: () => IdMaps = idMaps): Probe {
  try {
    const { uid, gid } = maps();
    const count = (lines: IdMaps['uid']) => lines.reduce((sum, { size }) => sum + size, 0);
    const ranges = uid.filter(({ size }) => size > 1).map(({ hostID, size }) => `${hostID}-${hostID + size - 1}`);
    const ids = Math.min(count(uid), count(gid));
    if (ids < 65_536)
      return {
        ok: false,
        value: `${ids} ids (${ranges.join(', ')}): files of images with higher ids cannot be unpacked`,
        fix: 'give a range of 65536: sudo usermod --add-subuids 100000-165535 --add-subgids 100000-165535 USER',
      };
    return { ok: true, value: `${ids} ids (${ranges.join(', ')})` };
  } catch (error) {
    return failed(error);
  }
}

/** Makes a user namespace with all its ids. */
export async function probeNamespace(): Promise<Probe> {
  try {
    return (await run(['true'])) === 0
      ? { ok: true, value: 'made and entered' }
      : { ok: false, value: 'a program in it failed' };
  } catch (error) {
    return failed(error);
  }
}

/**
 * Mounts an overlay in the user namespace, with its upper layer on the data root's file system, and writes to it
 * through a whiteout and a copy-up, as containers do.
 * @param choosePlace gives a new path in the data root's tmp/
 */
export async function probeOverlay(choosePlace: () => string): Promise<Probe> {
  let place: string | undefined;
  try {
    place = choosePlace();
    mkdirSync(place, { mode: 0o700 });
    const [lower, upper, work, merged] = ['lower', 'upper', 'work', 'merged'].map((name) => join(place!, name)) as [
      string,
      string,
      string,
      string,
    ];
    // When root probes, the namespace's root is another user, who must be able to write here.
    const script = `mkdir "$1" "$2" "$3" "$4" && echo a > "$1/a" && echo b > "$1/b" && mount -t overlay -o "$5" overlay "$4" && echo c >> "$4/a" && rm "$4/b" && test ! -e "$4/b"`;
    const maps = idMaps();
    if (maps.direct) chownSync(place, maps.uid[0]!.hostID, maps.gid[0]!.hostID);
    const { data } = overlayOptions({ kind: 'overlay', lower: [lower], upper, work, merged }, { userXattr: true });
    // There is one lower folder, so its name cannot be relative to a folder that it shares with others.
    const options = data.replace(/^lowerdir=[^,]*/, `lowerdir=${lower}`);
    const code = await run(['sh', '-c', script, 'probe', lower, upper, work, merged, options], {
      mounts: true,
      reach: { kept: [place] },
    });
    if (code === 0) return { ok: true, value: 'mounted in a user namespace, written to' };
    return {
      ok: false,
      value: `cannot be mounted in a user namespace on ${dirname(place)}`,
      fix: 'needs Linux 5.11 and a data root on ext4, xfs, btrfs or tmpfs; else apt install fuse-overlayfs',
    };
  } catch (error) {
    return failed(error);
  } finally {
    if (place !== undefined) await removeTree(place).catch(() => rmSync(place!, { recursive: true, force: true }));
  }
}

export function probeFuseOverlay(path: string = process.env['PATH'] ?? ''): Probe {
  const program = findProgram('fuse-overlayfs', `${path}:/usr/bin`);
  if (program === undefined) return { ok: false, value: 'not installed', fix: 'apt install fuse-overlayfs' };
  const device = probeDevice('/dev/fuse');
  return device.ok
    ? { ok: true, value: program }
    : { ok: false, value: `${program}, but /dev/fuse: ${device.value}`, fix: device.fix };
}

/** Checks whether this user can open the device for reading and writing. */
export function probeDevice(path: string): Probe {
  try {
    accessSync(path, constants.R_OK | constants.W_OK);
    closeSync(openSync(path, constants.O_RDWR));
    return { ok: true, value: 'opens' };
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT') return { ok: false, value: 'no such device' };
    if (code === 'EACCES' || code === 'EPERM')
      return { ok: false, value: 'permission denied', fix: `sudo chmod 0666 ${path}` };
    return { ok: false, value: String(code) };
  }
}

/**
 * f_type of statfs(2), linux/magic.h, of file systems that cannot hold an overlay's upper layer or keep foreign owners
 */
const UNSUITABLE: Record<number, string> = {
  0x6969: 'nfs',
  0xff534d42: 'cifs',
  0xfe534d42: 'smb2',
  0x65735546: 'fuse',
  0x01021997: '9p',
  0x4d44: 'vfat',
  0x2011bab0: 'exfat',
  0xf15f: 'ecryptfs',
};
const NAMES: Record<number, string> = {
  ...UNSUITABLE,
  0xef53: 'ext4',
  0x58465342: 'xfs',
  0x9123683e: 'btrfs',
  0x01021994: 'tmpfs',
  0x794c7630: 'overlay',
  0x2fc12fc1: 'zfs',
  0xf2f52010: 'f2fs',
  0xca451a4e: 'bcachefs',
};

export function fileSystem(folder: string): { name: string; suitable: boolean; freeBytes: number } {
  let at = folder;
  for (;;) {
    try {
      const { type, bavail, bsize } = statfsSync(at);
      return {
        name: NAMES[type] ?? `0x${type.toString(16)}`,
        suitable: !(type in UNSUITABLE),
        freeBytes: bavail * bsize,
      };
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT' || at === '/') throw error;
      at = join(at, '..'); // The path does not exist yet: its parent's file system is the one that it will be on.
    }
  }
}

async function run(program: string[], options: Pick<NamespaceProgram, 'mounts' | 'reach'> = {}): Promise<number> {
  const launched = runInUserNamespace({ program, stderr: 'null', ...options });
  await launched.started;
  return (await launched.exited).code;
}

function failed(error: unknown): Probe {
  if (error instanceof LaunchError && error.op === 'unshare')
    return { ok: false, value: error.message, fix: namespaceFix(error.errno) };
  const message = error instanceof Error ? error.message : String(error);
  return { ok: false, value: message, ...(error instanceof HuskError && error.fix ? { fix: error.fix } : {}) };
}

export function isFolder(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false })?.isDirectory() ?? false;
}
