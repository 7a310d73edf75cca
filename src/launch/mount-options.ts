/**
 * Splits mount(8) option names into flags of mount(2), attributes of mount_setattr(2), propagation, and the rest, which
 * is the file system's. Source: linux include/uapi/linux/mount.h; the names are those that runc knows (OCI
 * runtime-spec, config.md § Mounts).
 */

/** umount2(2) detaches at once, even while files of the mount are open */
export const MNT_DETACH = 2;
export const MS_RDONLY = 0x1;
export const MS_NOSUID = 0x2;
export const MS_NODEV = 0x4;
export const MS_NOEXEC = 0x8;
export const MS_SYNCHRONOUS = 0x10;
export const MS_REMOUNT = 0x20;
export const MS_MANDLOCK = 0x40;
export const MS_DIRSYNC = 0x80;
export const MS_NOSYMFOLLOW = 0x100;
export const MS_NOATIME = 0x400;
export const MS_NODIRATIME = 0x800;
export const MS_BIND = 0x1000;
export const MS_REC = 0x4000;
export const MS_SILENT = 0x8000;
export const MS_UNBINDABLE = 0x20000;
export const MS_PRIVATE = 0x40000;
export const MS_SLAVE = 0x80000;
export const MS_SHARED = 0x100000;
export const MS_RELATIME = 0x200000;
export const MS_I_VERSION = 0x800000;
export const MS_STRICTATIME = 0x1000000;
export const MS_LAZYTIME = 0x2000000;

export const MOUNT_ATTR_RDONLY = 0x1;
export const MOUNT_ATTR_NOSUID = 0x2;
export const MOUNT_ATTR_NODEV = 0x4;
export const MOUNT_ATTR_NOEXEC = 0x8;
/**
 * the field that holds the three atime modes; 0 in it is relatime, and changing it needs the whole field in attr_clr
 */
export const MOUNT_ATTR__ATIME = 0x70;
export const MOUNT_ATTR_NOATIME = 0x10;
export const MOUNT_ATTR_STRICTATIME = 0x20;
const MOUNT_ATTR_NODIRATIME = 0x80;
const MOUNT_ATTR_NOSYMFOLLOW = 0x200000;

/** set and clear masks of one mount_setattr(2) call */
export interface MountAttributes {
  set: number;
  clear: number;
}

export interface MountOptions {
  /** MS_* for mount(2), without propagation */
  flags: number;
  /** MS_* of propagation, one mount(2) call each */
  propagation: number[];
  /** the same per-mount flags as attributes: what a bind mount needs after it is made */
  attributes: MountAttributes;
  /** `rro`, `rnosuid` …: attributes that also apply to every mount below */
  recursive: MountAttributes;
  /** options of the file system, comma separated: `mode=755,size=64k` */
  data: string;
  /** `tmpcopyup`: husk ignores the option, as Docker does, see mounts.ts */
  copyUp: boolean;
}

/** name → [flag, whether the option clears the flag] */
const FLAGS: Record<string, [number, boolean]> = {
  async: [MS_SYNCHRONOUS, true],
  atime: [MS_NOATIME, true],
  bind: [MS_BIND, false],
  defaults: [0, false],
  dev: [MS_NODEV, true],
  diratime: [MS_NODIRATIME, true],
  dirsync: [MS_DIRSYNC, false],
  exec: [MS_NOEXEC, true],
  iversion: [MS_I_VERSION, false],
  lazytime: [MS_LAZYTIME, false],
  loud: [MS_SILENT, true],
  mand: [MS_MANDLOCK, false],
  noatime: [MS_NOATIME, false],
  nodev: [MS_NODEV, false],
  nodiratime: [MS_NODIRATIME, false],
  noexec: [MS_NOEXEC, false],
  noiversion: [MS_I_VERSION, true],
  nolazytime: [MS_LAZYTIME, true],
  nomand: [MS_MANDLOCK, true],
  norelatime: [MS_RELATIME, true],
  nostrictatime: [MS_STRICTATIME, true],
  nosuid: [MS_NOSUID, false],
  nosymfollow: [MS_NOSYMFOLLOW, false],
  rbind: [MS_BIND | MS_REC, false],
  relatime: [MS_RELATIME, false],
  remount: [MS_REMOUNT, false],
  ro: [MS_RDONLY, false],
  rw: [MS_RDONLY, true],
  silent: [MS_SILENT, false],
  strictatime: [MS_STRICTATIME, false],
  suid: [MS_NOSUID, true],
  symfollow: [MS_NOSYMFOLLOW, true],
  sync: [MS_SYNCHRONOUS, false],
};

const PROPAGATION: Record<string, number> = {
  private: MS_PRIVATE,
  rprivate: MS_PRIVATE | MS_REC,
  shared: MS_SHARED,
  rshared: MS_SHARED | MS_REC,
  slave: MS_SLAVE,
  rslave: MS_SLAVE | MS_REC,
  unbindable: MS_UNBINDABLE,
  runbindable: MS_UNBINDABLE | MS_REC,
};

/** MS_* → MOUNT_ATTR_*: [set, clear]. The atime modes share a field that is cleared as a whole. */
const ATTRIBUTE_OF: [number, number, number][] = [
  [MS_RDONLY, MOUNT_ATTR_RDONLY, 0],
  [MS_NOSUID, MOUNT_ATTR_NOSUID, 0],
  [MS_NODEV, MOUNT_ATTR_NODEV, 0],
  [MS_NOEXEC, MOUNT_ATTR_NOEXEC, 0],
  [MS_NODIRATIME, MOUNT_ATTR_NODIRATIME, 0],
  [MS_NOSYMFOLLOW, MOUNT_ATTR_NOSYMFOLLOW, 0],
  [MS_NOATIME, MOUNT_ATTR_NOATIME, MOUNT_ATTR__ATIME],
  [MS_STRICTATIME, MOUNT_ATTR_STRICTATIME, MOUNT_ATTR__ATIME],
  [MS_RELATIME, 0, MOUNT_ATTR__ATIME],
];

/** Never throws: an unknown name is the file system's own option, which the kernel checks. */
export function parseMountOptions(options: readonly string[]): MountOptions {
  const result: MountOptions = {
    flags: 0,
    propagation: [],
    attributes: { set: 0, clear: 0 },
    recursive: { set: 0, clear: 0 },
    data: '',
    copyUp: false,
  };
  const data: string[] = [];
  for (const option of options) {
    const flag = Object.hasOwn(FLAGS, option) ? FLAGS[option] : undefined;
    const propagation = Object.hasOwn(PROPAGATION, option) ? PROPAGATION[option] : undefined;
    const recursive =
      option.startsWith('r') && Object.hasOwn(FLAGS, option.slice(1)) ? FLAGS[option.slice(1)] : undefined;
    if (flag) {
      result.flags = flag[1] ? result.flags & ~flag[0] : result.flags | flag[0];
      add(result.attributes, flag);
    } else if (propagation !== undefined) result.propagation.push(propagation);
    else if (recursive && attributesOf(recursive[0])) add(result.recursive, recursive);
    else if (option === 'tmpcopyup') result.copyUp = true;
    else if (option !== '') data.push(option);
  }
  result.data = data.join(',');
  return result;
}

function attributesOf(flag: number): [number, number, number] | undefined {
  return ATTRIBUTE_OF.find(([ms]) => ms === flag);
}

/** Adds a flag. The last option wins: `ro,rw` is rw. */
function add(attributes: MountAttributes, [flag, cleared]: [number, boolean]): void {
  const found = attributesOf(flag);
  if (!found) return;
  const [, set, clear] = found;
  if (clear !== 0) {
    attributes.set = (attributes.set & ~clear) | (cleared ? 0 : set);
    attributes.clear |= clear;
  } else if (cleared) {
    attributes.set &= ~set;
    attributes.clear |= set;
  } else {
    attributes.set |= set;
    attributes.clear &= ~set;
  }
}
