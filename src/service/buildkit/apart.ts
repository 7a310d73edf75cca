/**
 * A connection as a stream of its own. Node's HTTP/2 takes the handle of a socket for itself, and ends the process when
 * anybody else's write to that socket completes (node_http2.cc, `is_write_in_progress`); the server probes its
 * connections by such writes. Behind a stream that has no handle it reads and writes as everybody does.
 */
import { Duplex } from 'node:stream';

/** @returns a stream over the socket, which ends, and is destroyed, with it */
export function apart(socket: Duplex): Duplex {
  const stream = new Duplex({
    read: () => void socket.resume(),
    write: (chunk: Buffer, _encoding, done) => void socket.write(chunk, done),
    writev(chunks, done) {
      socket.cork();
      for (const { chunk } of chunks.slice(0, -1)) socket.write(chunk as Buffer);
      socket.write(chunks.at(-1)!.chunk as Buffer, done);
      socket.uncork();
    },
    final: (done) => void socket.end(done),
    destroy(error, done) {
      socket.destroy();
      done(error);
    },
  });
  socket.on('data', (chunk: Buffer) => {
    if (!stream.push(chunk)) socket.pause();
  });
  socket.once('end', () => stream.push(null));
  socket.once('close', () => stream.destroy());
  return stream;
}
