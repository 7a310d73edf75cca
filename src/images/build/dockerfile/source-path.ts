/** Paths of what COPY, ADD and mounts read. Pure. */
import { posix } from 'node:path';

/**
 * Cleans a path below the root of where it comes from: `..` and a leading slash do not lead out of it.
 * @example sourcePath('../a/./b/') // 'a/b'
 */
export function sourcePath(text: string): string {
  const path = posix.join('/', text).replace(/\/+$/, '').slice(1);
  return path === '' ? '.' : path;
}
