/**
 * Resolves paths of a container. The kernel resolves them with the container's root as their / (openat2,
 * RESOLVE_IN_ROOT), so that no link leads out, even while the container changes them. This file finds out where a link
 * leads, and answers with a path of the container.
 */
import * as host from '../../host/files/lookup.ts';
import { O_PATH } from '../../host/files/file-at.ts';
import { HuskError } from '../../errors.ts';
import { type ByteString, display } from '../../tar/byte-string.ts';
import { linkTarget, factsOf, openName } from './facts.ts';

/** MAXSYMLINKS of include/linux/namei.h */
const MAX_SYMLINKS = 40;
/** most components that a path may grow to by its links */
const MAX_COMPONENTS = 8192;

/**
 * @returns an O_PATH descriptor, of a link itself unless the path ends with a slash
 * @throws HuskError `not-found`, `invalid`
 */
export function openPath(root: number, path: ByteString, options: { follow: boolean }): number {
  try {
    return host.openInRoot(root, path === '' ? '/' : path, O_PATH | (options.follow ? 0 : host.O_NOFOLLOW));
  } catch (error) {
    throw explain(error, path);
  }
}

export function explain(error: unknown, path: ByteString): unknown {
  const { code } = error as { code?: string };
  switch (code) {
    case 'ENOENT':
      return new HuskError(`${display(path)}: no such file or directory`, { kind: 'not-found', cause: error });
    case 'ENOTDIR':
      return new HuskError(`${display(path)}: not a directory`, { kind: 'invalid', cause: error });
    case 'ELOOP':
      return new HuskError(`${display(path)}: too many levels of symbolic links`, { kind: 'invalid', cause: error });
    case 'ENAMETOOLONG':
      return new HuskError(`${display(path)}: file name too long`, { kind: 'invalid', cause: error });
    default:
      return error;
  }
}

/**
 * @returns the path with every link followed, the last one too, as far as it exists: Docker's stat calls this the link
 * target
 */
export function followed(root: number, path: ByteString): ByteString {
  const left = path.split('/').reverse();
  /** names from the root to the current folder, and the descriptor of each */
  const at: { name: ByteString; fd: number }[] = [];
  let links = 0;
  try {
    for (let name = left.pop(); name !== undefined; name = left.pop()) {
      if (name === '' || name === '.') continue;
      if (name === '..') {
        const last = at.pop();
        if (last) host.closeFd(last.fd);
        continue;
      }
      using opened = openName(at.at(-1)?.fd ?? root, name);
      if (opened === undefined) return join([...at.map((step) => step.name), name, ...left.reverse()]);
      if (factsOf(opened.number).type !== 'symlink') {
        at.push({ name, fd: opened.release() });
        continue;
      }
      const target = linkTarget(opened.number);
      if (++links > MAX_SYMLINKS || left.length > MAX_COMPONENTS)
        throw new HuskError(`${display(path)}: too many levels of symbolic links`, { kind: 'invalid' });
      if (target.startsWith('/')) for (const step of at.splice(0)) host.closeFd(step.fd);
      left.push(...target.split('/').reverse());
    }
    return join(at.map((step) => step.name));
  } finally {
    for (const { fd } of at) host.closeFd(fd);
  }
}

const join = (names: readonly ByteString[]) => `/${names.filter((name) => name !== '' && name !== '.').join('/')}`;
