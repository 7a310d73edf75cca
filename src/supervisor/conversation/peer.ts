/**
 * Who is at the other end of a connection to a supervisor. A process of a container is this user's on the host, too,
 * and may have been given the folder of the sockets; what it never has is this process's user namespace. Asked of the
 * kernel when a connection comes, before its first byte is read. A jailed supervisor sees no process but itself: there
 * the key alone decides (../protocol/access.ts).
 */
import { readlinkSync } from 'node:fs';
import type { Socket } from 'node:net';
import { pidfdOpen, pidfdSignal } from '../../host/kernel/process.ts';
import { peerCredentials, peerPidfd } from '../../host/streams/socket.ts';

/** @returns the descriptor of a connected unix socket of Node's; undefined when it is closed already */
export function descriptorOf(socket: Socket): number | undefined {
  const fd = (socket as Socket & { _handle?: { fd?: number } })._handle?.fd;
  return fd !== undefined && fd >= 0 ? fd : undefined;
}

/**
 * Whether the process that connected is this user's, lives, and is in the user namespace of this one.
 * @param fd of the connected socket
 */
export function isOfThisNamespace(fd: number): boolean {
  try {
    const { pid, uid } = peerCredentials(fd);
    if (uid !== process.geteuid!() || pid <= 0) return false;
    // held while /proc is read: a pid is not given to another process as long as its own is not gone
    using held = peerPidfd(fd) ?? pidfdOpen(pid);
    const isOurs = readlinkSync(`/proc/${pid}/ns/user`) === readlinkSync('/proc/self/ns/user');
    return isOurs && pidfdSignal(held.number, 0);
  } catch {
    // it has ended, or hides: nobody we know
    return false;
  }
}
