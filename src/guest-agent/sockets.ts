/**
 * The unix sockets of the guest's that stand for the host's: what connects to one is carried to the host by a stream of
 * its own. Loaded only for a container that has some. Whoever connects is a process of the container, and may do so as
 * often as it likes: beyond a bound its connections are closed at once.
 */
import { chmodSync, chownSync, mkdirSync } from 'node:fs';
import { SOCKETS_FOLDER, type GuestSocket, type StreamToken } from '../agent-protocol.ts';
import type { Fd } from '../host/fd.ts';
import { SyscallError } from '../host/libc.ts';
import { DescriptorStream } from '../host/streams/descriptor-stream.ts';
import { joinStreams } from '../host/streams/join.ts';
import { listenAt } from '../host/streams/listener.ts';
import { openStream } from './streams.ts';

/** connections of the machine: as many as the host has places (src/vmm/sockets/messages.ts) */
const MOST = 64;

export interface ServedSockets {
  /** Nobody listens any more. */
  close(): void;
}

export interface ServeOptions {
  folder: string;
  /** opens a stream to the host. @throws SyscallError */
  open: (token: StreamToken) => DescriptorStream;
}

const GUEST: ServeOptions = {
  folder: SOCKETS_FOLDER,
  open: (token) => openStream(token, { outlivesWriting: true }),
};

/**
 * Makes them all, before there is a container.
 * @param options tests have their own @throws SyscallError
 */
export function serveSockets(sockets: readonly GuestSocket[], { folder, open } = GUEST): ServedSockets {
  mkdirSync(folder, { recursive: true, mode: 0o755 });
  let count = 0;
  const carry = (connection: Fd, token: StreamToken) => {
    using client = connection;
    if (count >= MOST) return;
    let host: DescriptorStream;
    try {
      host = open(token);
    } catch (error) {
      if (error instanceof SyscallError) return;
      throw error;
    }
    const stream = new DescriptorStream(client.move(), { outlivesWriting: true });
    count++;
    stream.once('close', () => count--);
    joinStreams(stream, host);
  };
  const listeners = sockets.map(({ uid, gid, mode, stream }, index) => {
    const path = `${folder}/${index}`;
    const listener = listenAt(path, (connection) => {
      if (stream === undefined) connection.close();
      else carry(connection, stream);
    });
    chownSync(path, uid, gid);
    chmodSync(path, mode);
    if (stream === undefined) listener[Symbol.dispose]();
    return listener;
  });
  return {
    close: () => {
      for (const listener of listeners.splice(0)) listener[Symbol.dispose]();
    },
  };
}
