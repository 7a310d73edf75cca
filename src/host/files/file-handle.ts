/**
 * Inodes of a FUSE file system by their nodes, in the kernel that has it mounted: file handles (open_by_handle_at(2))
 * name what no path need lead to. Only what the kernel remembers is found; the server is not asked.
 */
import { checked } from '../libc.ts';
import { systemCall } from '../system-call.ts';
import { O_PATH } from './file-at.ts';
import { O_CLOEXEC } from './lookup.ts';

/** include/linux/exportfs.h: FILEID_INO64_GEN, which has the node's two halves and the generation */
export const NODE_HANDLE_TYPE = 0x81;
/** bytes of such a handle */
export const NODE_HANDLE_BYTES = 12;
/** struct file_handle: handle_bytes, handle_type */
const HEADER = 8;

const open_by_handle_at = systemCall<(mount: number, handle: Uint8Array, flags: number) => number>(
  'int open_by_handle_at(int mount, void *handle, int flags)',
);
const setfsgid = systemCall<(gid: number) => number>('int setfsgid(unsigned int gid)');

/**
 * @param mount a descriptor of anything on the file system, not one of O_PATH
 * @returns a descriptor of O_PATH
 * @throws SyscallError ESTALE when the kernel has no such node; EPERM without CAP_DAC_READ_SEARCH
 */
export function openNode(mount: number, node: number): number {
  const handle = new Uint8Array(HEADER + NODE_HANDLE_BYTES);
  const view = new DataView(handle.buffer);
  view.setUint32(0, NODE_HANDLE_BYTES, true);
  view.setUint32(4, NODE_HANDLE_TYPE, true);
  view.setUint32(HEADER, Math.floor(node / 2 ** 32), true);
  view.setUint32(HEADER + 4, node >>> 0, true);
  // safe: the kernel reads no more than handle_bytes say
  return checked(open_by_handle_at(mount, handle, O_PATH | O_CLOEXEC), 'open_by_handle_at');
}

/** @returns the node in a handle as fdinfo shows it, in hexadecimal: fuse_encode_fh() of fs/fuse/inode.c */
export function nodeOfHandle(hex: string): number {
  const bytes = Buffer.from(hex, 'hex');
  return bytes.readUInt32LE(0) * 2 ** 32 + bytes.readUInt32LE(4);
}

/** Does what is done at once, on this thread, as of a group; this process's own is 0. */
export function asFileGroup<T>(gid: number, work: () => T): T {
  setfsgid(gid);
  try {
    return work();
  } finally {
    setfsgid(0);
  }
}
