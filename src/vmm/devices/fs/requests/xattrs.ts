/** Requests on extended attributes. */
import { getxattrFd, listxattrFd, removexattrFd, setxattrFd } from '../../../../host/files/file-at.ts';
import { READ } from '../share/access.ts';
import { MAX_XATTR } from '../share/config.ts';
import { ERRNO, fixed, OP, ProtocolError, strings, type Request } from '../share/fuse.ts';
import type { Share } from '../share/share.ts';
import { NOTHING, u64Bytes } from './reply.ts';

/** Answers SETXATTR. struct fuse_setxattr_in without FUSE_SETXATTR_EXT: size, flags */
export function setXattr(share: Share, request: Request): Uint8Array {
  const view = fixed(request.body, 8);
  const size = view.getUint32(0, true);
  const [name] = strings(request.body, 8, 1) as [string];
  const value = request.body.subarray(8 + name.length + 1);
  if (size > MAX_XATTR || size > value.length) throw new ProtocolError(ERRNO.EINVAL);
  const { fd } = share.inodes.get(request.node);
  share.access.checkAttribute(name);
  share.access.checkOwn(fd);
  setxattrFd(fd, name, value.subarray(0, size), view.getUint32(4, true) & 3);
  return NOTHING;
}

/** Answers GETXATTR and LISTXATTR. struct fuse_getxattr_in: size; 0 asks how large the answer is */
export function getXattr(share: Share, request: Request): Uint8Array {
  const size = Math.min(fixed(request.body, 8).getUint32(0, true), MAX_XATTR);
  const { fd } = share.inodes.get(request.node);
  const into = new Uint8Array(size);
  if (request.opcode === OP.LISTXATTR) {
    const length = listxattrFd(fd, into);
    return size === 0 ? u64Bytes(length) : share.access.attributeNames(into.subarray(0, length));
  }
  const [name] = strings(request.body, 8, 1) as [string];
  share.access.checkAttribute(name);
  share.access.check(fd, READ);
  const length = getxattrFd(fd, name, into);
  return size === 0 ? u64Bytes(length) : into.subarray(0, length);
}

export function removeXattr(share: Share, request: Request): Uint8Array {
  const { fd } = share.inodes.get(request.node);
  const [name] = strings(request.body, 0, 1) as [string];
  share.access.checkAttribute(name);
  share.access.checkOwn(fd);
  removexattrFd(fd, name);
  return NOTHING;
}
