/**
 * Reads what overlay's upper folder says about the layers below: which names it hides, and which folders let nothing
 * through. The kernel's overlayfs and fuse-overlayfs say so in different ways; a wrong reading would bring deleted
 * files back.
 *
 * Source: Documentation/filesystems/overlayfs.rst § whiteouts and opaque directories, § User xattr; fuse-overlayfs(1).
 */
import { getxattrFd } from '../../host/files/file-at.ts';
import { SyscallError } from '../../host/libc.ts';
import type { ByteString } from '../../tar/byte-string.ts';
import { factsAt, factsOf, openName, type Facts } from './facts.ts';
import { namesIn } from './names.ts';

/** OCI image-spec layer.md § Whiteouts */
export const WHITEOUT = '.wh.';
export const OPAQUE = '.wh..wh..opq';

/** Which overlay wrote the upper folder. */
export type UpperForm =
  /** the kernel's, mounted by the real root: in a VM's guest */
  | 'trusted'
  /** the kernel's, mounted with `userxattr` */
  | 'user'
  | 'fuse';

const OPAQUE_XATTRS: Record<UpperForm, readonly string[]> = {
  trusted: ['trusted.overlay.opaque'],
  user: ['user.overlay.opaque'],
  // fuse-overlayfs reads the kernel's attributes too.
  fuse: ['user.fuseoverlayfs.opaque', 'trusted.overlay.opaque', 'user.overlay.opaque'],
};
const YES = 'y'.charCodeAt(0);

/**
 * Where a container's own mounts go in every container. Docker makes these below the container's own layer, so that
 * neither diff nor commit sees them.
 */
const MOUNT_POINTS: Record<ByteString, 'directory' | 'file'> = {
  // This file is no mount point, but is made in every container too.
  '.dockerenv': 'file',
  dev: 'directory',
  'dev/console': 'file',
  'dev/mqueue': 'directory',
  'dev/pts': 'directory',
  'dev/shm': 'directory',
  etc: 'directory',
  'etc/hostname': 'file',
  'etc/hosts': 'file',
  'etc/resolv.conf': 'file',
  proc: 'directory',
  sys: 'directory',
  'sys/fs': 'directory',
  'sys/fs/cgroup': 'directory',
};

export class UpperLayer {
  readonly #form: UpperForm;
  readonly #lower: (path: ByteString) => boolean;

  /** @param lower tells whether the image has a path */
  constructor(form: UpperForm, lower: (path: ByteString) => boolean) {
    this.#form = form;
    this.#lower = lower;
  }

  /**
   * @returns the name in the layers below that this name hides; '' when it hides nothing and cannot be in a layer;
   * undefined when it is a file of its own
   */
  hidden(name: ByteString, facts: Facts): ByteString | undefined {
    if (facts.type === 'char' && facts.deviceMajor === 0 && facts.deviceMinor === 0) return name;
    if (!name.startsWith(WHITEOUT)) return undefined;
    if (this.#form !== 'fuse') return '';
    const hidden = name.slice(WHITEOUT.length);
    // These names are what fuse-overlayfs keeps for itself, and what would be the whiteout of `.` or `..`.
    return hidden.startsWith('.wh.') || hidden === '.' || hidden === '..' ? '' : hidden;
  }

  /** @param fd descriptor of a folder */
  isOpaque(fd: number): boolean {
    if (OPAQUE_XATTRS[this.#form].some((name) => isYes(fd, name))) return true;
    return this.#form === 'fuse' && factsAt(fd, OPAQUE) !== undefined;
  }

  /** @returns whether the file is only a mount point that husk made because the image has none there */
  isOwn(path: ByteString, fd: number, facts: Facts): boolean {
    if (!Object.hasOwn(MOUNT_POINTS, path) || MOUNT_POINTS[path] !== facts.type || this.#lower(path)) return false;
    if (facts.type === 'file') return facts.size === 0;
    return namesIn(fd).every((name) => {
      using child = openName(fd, name);
      return child === undefined || this.isOwn(`${path}/${name}`, child.number, factsOf(child.number));
    });
  }
}

const value = Buffer.allocUnsafe(16);

function isYes(fd: number, name: string): boolean {
  try {
    return getxattrFd(fd, name, value) === 1 && value[0] === YES;
  } catch (error) {
    if (error instanceof SyscallError) return false; // The attribute is missing, or its value is not overlay's.
    throw error;
  }
}
