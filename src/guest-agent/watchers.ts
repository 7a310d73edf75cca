/**
 * Who watches what of the shares in this guest (inotify): read from /proc, because the kernel tells nobody. It is read
 * when the host has changed something, and never otherwise: a guest that nobody works on stays at rest.
 */
import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { NODE_HANDLE_BYTES, NODE_HANDLE_TYPE, nodeOfHandle } from '../host/files/file-handle.ts';

const INOTIFY = 'anon_inode:inotify';
/**
 * Attack: a container with as many watches as its kernel lets it have, and as many descriptors of them. What is watched
 * beyond this is not heard of; characters of fdinfo, some 100 a watch.
 */
const MOST_TEXT = 16 << 20;

/** fs/notify/fdinfo.c: inotify_fdinfo(), show_mark_fhandle() */
const WATCH = new RegExp(
  `^inotify wd:[0-9a-f]+ ino:[0-9a-f]+ sdev:([0-9a-f]+) mask:[0-9a-f]+ ignored_mask:[0-9a-f]+ ` +
    `fhandle-bytes:${NODE_HANDLE_BYTES.toString(16)} fhandle-type:${NODE_HANDLE_TYPE.toString(16)} ` +
    `f_handle:([0-9a-f]{${NODE_HANDLE_BYTES * 2}})`,
  'gm',
);

/** @param device st_dev of the shares @returns the FUSE nodes that a text of fdinfo has watches of */
export function parseWatches(text: string, device: number): number[] {
  const sdev = kernelDevice(device);
  return [...text.matchAll(WATCH)].flatMap(([, on, handle]) =>
    Number.parseInt(on!, 16) === sdev ? [nodeOfHandle(handle!)] : [],
  );
}

/** st_dev (new_encode_dev()) as the kernel itself has it: 12 bits of major, 20 of minor (include/linux/kdev_t.h) */
const kernelDevice = (device: number): number =>
  (((device >>> 8) & 0xfff) * 2 ** 20 + ((device & 0xff) | ((device >>> 12) & 0xfff00))) >>> 0;

/** @returns the FUSE nodes of the shares that any process of this guest watches */
export function watchedNodes(device: number): Set<number> {
  const nodes = new Set<number>();
  let read = 0;
  for (const pid of readdirSync('/proc').filter((name) => /^\d+$/.test(name)))
    for (const fd of listed(`/proc/${pid}/fd`)) {
      if (attempt(() => readlinkSync(`/proc/${pid}/fd/${fd}`)) !== INOTIFY) continue;
      const text = attempt(() => readFileSync(`/proc/${pid}/fdinfo/${fd}`, 'latin1')) ?? '';
      if ((read += text.length) > MOST_TEXT) return nodes;
      for (const node of parseWatches(text, device)) nodes.add(node);
    }
  return nodes;
}

const listed = (folder: string): string[] => attempt(() => readdirSync(folder)) ?? [];

/** A process may end at any moment. */
function attempt<T>(look: () => T): T | undefined {
  try {
    return look();
  } catch {
    return undefined;
  }
}
