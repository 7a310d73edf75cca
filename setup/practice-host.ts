/**
 * What the practice of the build (practice.ts) is told of the host that it runs on. What a host is like decides which
 * functions are called, and so the bytes of the code cache, which are to be the same everywhere. Of /etc and /sys
 * nothing is looked at but by way of what stands here; of /proc and the scratch folder husk sees what is there.
 */
import fs from 'node:fs';
import { constants } from 'node:os';

/** whoever builds, root or not; without a name */
const USER = 1000;
const RANGE = '100000:65536\n';

/** Everything that husk reads there; undefined: it is not there. */
const FILES: Readonly<Record<string, string | undefined>> = {
  '/dev/kvm': undefined,
  '/dev/net/tun': undefined,
  '/etc/husk/config.json': undefined,
  '/etc/resolv.conf': 'nameserver 192.0.2.1\n',
  '/etc/subuid': `husk:${RANGE}${USER}:${RANGE}`,
  '/etc/subgid': `husk:${RANGE}${USER}:${RANGE}`,
  '/proc/self/uid_map': '0 0 4294967295\n',
  '/proc/self/gid_map': '0 0 4294967295\n',
  '/sys/devices/system/cpu/cpu0/thermal_throttle': undefined,
  '/sys/devices/system/cpu/online': '0\n',
  '/sys/devices/system/node/online': '0\n',
  '/sys/fs/selinux/enforce': undefined,
};

/** of these there are none */
const PROGRAM = /^\/(usr\/)?(local\/)?s?bin\//;

/** statfs(2) */
const EXT4 = 0xef53;
/** inode(7): a folder that only its owner writes to */
const FOLDER_MODE = 0o40755;

/** @returns whether this is a path that is told; @throws for one of /etc and /sys that nobody thought of */
function isTold(path: unknown): path is string {
  if (typeof path !== 'string') return false;
  if (Object.hasOwn(FILES, path) || PROGRAM.test(path)) return true;
  if (/^\/(etc|sys)\//.test(path))
    throw new Error(`the practice of the build asks this host for ${path}: setup/practice-host.ts has to answer`);
  return false;
}

function contentOf(path: string): string {
  const text = FILES[path];
  if (text !== undefined) return text;
  throw Object.assign(new Error(`ENOENT: no such file or directory, '${path}'`), {
    code: 'ENOENT',
    errno: -constants.errno.ENOENT,
  });
}

/** @param scratch where husk keeps everything in the practice */
export function tellOfTheHost(scratch: string): void {
  const { readFileSync, statSync, lstatSync, fstatSync, existsSync, accessSync, statfsSync } = fs;
  const builder = process.getuid!();
  for (const name of ['getuid', 'geteuid', 'getgid', 'getegid'] as const) process[name] = () => USER;
  const ofTheUser = <S extends fs.Stats | fs.BigIntStats | undefined>(stat: S): S =>
    stat && Number(stat.uid) === builder ? Object.assign(stat, { uid: USER, gid: USER }) : stat;
  const told = {
    readFileSync: (path: string, options?: unknown) => {
      if (!isTold(path)) return readFileSync(path, options as 'utf8');
      return options === undefined ? Buffer.from(contentOf(path)) : contentOf(path);
    },
    statSync: (path: string, options?: fs.StatSyncOptions) => {
      if (!isTold(path)) {
        const stat = statSync(path, options);
        // wherever temporary files are: a place that others cannot exchange (src/runtime-folder.ts)
        return stat && path !== scratch && scratch.startsWith(path)
          ? Object.assign(stat, { uid: 0, mode: FOLDER_MODE })
          : ofTheUser(stat);
      }
      if (FILES[path] === undefined && options?.throwIfNoEntry === false) return undefined;
      return { size: contentOf(path).length };
    },
    lstatSync: (path: string, options?: fs.StatSyncOptions) => ofTheUser(lstatSync(path, options)),
    fstatSync: (fd: number, options?: fs.StatSyncOptions) => ofTheUser(fstatSync(fd, options)),
    existsSync: (path: string) => (isTold(path) ? FILES[path] !== undefined : existsSync(path)),
    accessSync: (path: string, mode?: number) => (isTold(path) ? void contentOf(path) : accessSync(path, mode)),
    // no cgroup v2; everything else is on ext4
    statfsSync: (path: string) => ({ ...statfsSync(path), type: path === '/sys/fs/cgroup' ? 0 : EXT4 }),
  };
  Object.assign(fs, told);
}
