/**
 * Which of husk's own parts are there, and of what version: what `husk version` shows beside Docker's fields. Reads a
 * few bytes of each file, and only what husk itself was built of; a part that is not there is not listed. Never runs
 * one.
 */
import { closeSync, openSync, readSync } from 'node:fs';
import { AGENT_DISK, GUEST_KERNEL, LAUNCHER } from '../../program.ts';
import { VERSION } from '../../version.ts';

export interface Part {
  name: string;
  version: string;
}

/** A part that is there and does not say what it is: an older build, or no such file at all. */
const UNKNOWN = 'unknown';

export interface PartFiles {
  launcher: string;
  kernel: string;
  agentDisk: string;
}

export function partVersions(
  { launcher, kernel, agentDisk }: PartFiles = { launcher: LAUNCHER, kernel: GUEST_KERNEL, agentDisk: AGENT_DISK },
): Part[] {
  return [
    // built with husk and of no version of its own
    ...listed('Launcher', launcher, () => VERSION),
    { name: 'Node', version: process.version },
    { name: 'SQLite', version: process.versions['sqlite'] ?? '' },
    ...listed('Guest kernel', kernel, kernelVersion),
    ...listed('Agent disk', agentDisk, agentDiskVersion),
  ];
}

function listed(name: string, path: string, version: (fd: number) => string | undefined): Part[] {
  let fd: number;
  try {
    fd = openSync(path, 'r');
  } catch {
    return [];
  }
  try {
    return [{ name, version: version(fd) ?? UNKNOWN }];
  } finally {
    closeSync(fd);
  }
}

/** init/version.c of Linux: linux_banner, which every image has */
const BANNER = 'Linux version ';
/** bytes read at a time; and in all: the image has 18 MB */
const STEP = 1 << 20;
const MOST = 64 << 20;
/** characters of a release: __NEW_UTS_LEN, include/uapi/linux/utsname.h */
const RELEASE = 64;

function kernelVersion(fd: number): string | undefined {
  const overlap = BANNER.length + RELEASE;
  const buffer = Buffer.alloc(STEP + overlap);
  for (let at = 0; at < MOST; at += STEP) {
    const length = readSync(fd, buffer, 0, buffer.length, at);
    const text = buffer.subarray(0, length);
    for (let found = text.indexOf(BANNER); found >= 0; found = text.indexOf(BANNER, found + 1)) {
      const release = /^[0-9][\w.+-]*(?= )/.exec(text.toString('latin1', found + BANNER.length, found + overlap));
      if (release) return release[0];
    }
    if (length < buffer.length) return undefined;
  }
  return undefined;
}

/** Linux fs/erofs/erofs_fs.h: the superblock begins at 1024, its 16 bytes of UUID 48 bytes on */
const EROFS_UUID = 1024 + 48;

/**
 * guest/agent-disk/build writes the version into the UUID, of the kind that is for things of one's own (RFC 9562 § 5.8)
 */
function agentDiskVersion(fd: number): string | undefined {
  const uuid = Buffer.alloc(16);
  readSync(fd, uuid, 0, uuid.length, EROFS_UUID);
  const [, major, minor, patch] = /^6875736b(.{4})8(.{3})8(.{3})0{12}$/.exec(uuid.toString('hex')) ?? [];
  return major === undefined ? undefined : [major, minor!, patch!].map((digits) => parseInt(digits, 16)).join('.');
}
