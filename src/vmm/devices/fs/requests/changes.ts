/**
 * Requests of the guest's agent that raise events in the guest's kernel (src/guest-agent/changes.ts). Of what comes
 * under TELLING_GID nothing is done on the host, whoever in the guest it comes from, and whatever it is: what the host
 * did is answered as if it had been done by this request. A process of the container's that takes this group deceives
 * its own guest.
 */
import { goneEntryReply } from '../share/attributes.ts';
import { ERRNO, OP, ProtocolError, strings, type Request } from '../share/fuse.ts';
import { S_IFDIR } from '../share/inodes.ts';
import type { Share } from '../share/share.ts';
import { lookup } from './names.ts';
import { NOTHING } from './reply.ts';

/** where the name is in a request that makes one: after struct fuse_mknod_in, struct fuse_mkdir_in, or nothing */
const NAME_AT: Record<number, number> = { [OP.MKNOD]: 16, [OP.MKDIR]: 8, [OP.SYMLINK]: 0 };

/** @throws ProtocolError, SyscallError */
export function answerTelling(share: Share, request: Request): Uint8Array {
  switch (request.opcode) {
    case OP.LOOKUP:
      return lookUp(share, request);
    case OP.GETATTR:
    case OP.SETATTR:
      return share.attributesOrGone(request.node);
    case OP.MKNOD:
    case OP.MKDIR:
    case OP.SYMLINK:
      return made(share, request);
    case OP.UNLINK:
    case OP.RMDIR:
      return removed(share, request);
    default:
      throw new ProtocolError(ERRNO.EPERM);
  }
}

/** A name that is to be made is not there, and one that is to be removed is. */
function lookUp(share: Share, request: Request): Uint8Array {
  const folder = share.inodes.get(request.node);
  const [name] = strings(request.body, 0, 1) as [string];
  const announced = share.announced(folder, name);
  if (announced?.what === 'gone') return goneEntryReply(share.inodes.addGone(announced.kind));
  if (announced?.what === 'created') {
    const known = share.inodes.withKey(share.inodes.keyAt(folder, name));
    // A folder that the guest knows stays what it is: something may be mounted in it.
    if (known?.kind !== S_IFDIR) throw new ProtocolError(ERRNO.ENOENT);
  }
  return lookup(share, request);
}

function made(share: Share, request: Request): Uint8Array {
  const folder = share.inodes.get(request.node);
  const [name] = strings(request.body, NAME_AT[request.opcode]!, 1) as [string];
  if (share.announced(folder, name)?.what !== 'created') throw new ProtocolError(ERRNO.EPERM);
  const entry = share.entry(share.lookup(folder, name), folder);
  share.announcedTo(folder, name);
  return entry;
}

function removed(share: Share, request: Request): Uint8Array {
  const [name] = strings(request.body, 0, 1) as [string];
  const folder = share.inodes.get(request.node);
  if (share.announced(folder, name)?.what !== 'gone') throw new ProtocolError(ERRNO.EPERM);
  share.announcedTo(folder, name);
  return NOTHING;
}
