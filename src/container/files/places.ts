/**
 * Decides where an archive is unpacked, and how folders are found there. In a container a path is the container's: its
 * links lead anywhere within its root, as for a process in it. On the host no link is followed below the folder,
 * because what the container sends, or does to a shared folder meanwhile, must never decide where on the host a file is
 * written.
 */
import { Fd } from '../../host/fd.ts';
import * as host from '../../host/files/lookup.ts';
import { O_PATH } from '../../host/files/file-at.ts';
import { HuskError } from '../../errors.ts';
import { type ByteString, display } from '../../tar/byte-string.ts';
import { factsOf, unlessAbsent, type Facts } from './facts.ts';
import { explain } from './resolve.ts';

export interface Place {
  /**
   * @returns a descriptor, which the caller closes, of the folder at this path below the place ('' is the place);
   * undefined when the folder does not exist
   * @throws HuskError, SyscallError
   */
  folder(path: ByteString, options: { create: boolean }): number | undefined;
  /** the path in messages */
  shown(path: ByteString): string;
  /** @returns the error text for a path that cannot be written to because its file system is read-only */
  readOnlyText(path: ByteString): string;
  /** whether this file may get a second name; absent: any file may */
  mayLink?(path: ByteString, facts: Facts): boolean;
  /** called for each file made, where `mayLink` exists */
  made?(path: ByteString, facts: Facts): void;
}

const FOLDER = O_PATH | host.O_DIRECTORY;
/** mode of folders that no member describes */
const MISSING_MODE = 0o755;

function makeMissing(path: ByteString, open: (path: ByteString) => number | undefined): number {
  const found = open(path);
  if (found !== undefined) return found;
  if (path === '') throw new HuskError('the folder to unpack in has been removed', { kind: 'not-found' });
  const slash = path.lastIndexOf('/');
  using parent = new Fd(makeMissing(slash <= 0 ? '' : path.slice(0, slash), open));
  host.makeDirectoryAt(parent.number, path.slice(slash + 1), MISSING_MODE);
  return host.openAt(parent.number, path.slice(slash + 1), FOLDER);
}

/** Makes the place of a folder in a container. @param root descriptor of its / @param base the folder's path in it */
export function containerPlace(root: number, base: ByteString): Place {
  const full = (path: ByteString) => `${base}/${path}`;
  const open = (path: ByteString) => {
    try {
      return unlessMissing(() => host.openInRoot(root, full(path), FOLDER));
    } catch (error) {
      throw explain(error, full(path));
    }
  };
  return {
    folder: (path, { create }) => (create ? makeMissing(path, open) : open(path)),
    shown: (path) =>
      display(
        full(path)
          .replace(/\/+/g, '/')
          .replace(/(.)\/$/, '$1'),
      ),
    readOnlyText: (path) =>
      isOnMount(root, path === '' ? base : parentOf(full(path)))
        ? 'mounted volume is marked read-only'
        : 'container rootfs is marked read-only',
  };
}

const parentOf = (path: ByteString): ByteString => path.slice(0, path.lastIndexOf('/'));

/**
 * @returns whether a folder of the container, or the nearest existing one above it, lies on another file system than
 * the container's root
 */
function isOnMount(root: number, path: ByteString): boolean {
  const device = (fd: number) => factsOf(fd).inode.replace(/:\d+$/, '');
  for (let at = path; at !== ''; at = parentOf(at)) {
    using folder = unlessAbsent(() => new Fd(host.openInRoot(root, at, FOLDER)));
    if (folder !== undefined) return device(folder.number) !== device(root);
  }
  return false;
}

/** Makes the place of a folder on the host. @param folder its descriptor @param shown its path */
export function hostPlace(folder: number, shown: string): Place {
  /** inodes that the archive brought, by name: it may link only to these */
  const made = new Map<ByteString, string>();
  const open = (path: ByteString) => {
    try {
      return unlessMissing(() => host.openBeneath(folder, path === '' ? '.' : path, FOLDER));
    } catch (error) {
      const { code } = error as { code?: string };
      if (code === 'ELOOP' || code === 'ENOTDIR')
        throw new HuskError(
          `cannot write below ${shown}/${display(path)}: a symbolic link or a file is in the way, and links are not followed here`,
          { kind: 'invalid', cause: error },
        );
      throw error;
    }
  };
  return {
    folder: (path, { create }) => (create ? makeMissing(path, open) : unlessAbsent(() => open(path))),
    shown: (path) => (path === '' ? shown : `${shown.replace(/\/$/, '')}/${display(path)}`),
    readOnlyText: () => `cannot write to ${shown}: read-only file system`,
    mayLink: (path, facts) => made.get(path) === facts.inode,
    made: (path, facts) => void made.set(path, facts.inode),
  };
}

function unlessMissing<T>(read: () => T): T | undefined {
  try {
    return read();
  } catch (error) {
    if ((error as { code?: string }).code === 'ENOENT') return undefined;
    throw error;
  }
}
