/** The agent's bulk connections to the host: one vsock connection a stream, see src/agent-protocol.ts. */
import type { Readable, Writable } from 'node:stream';
import { STREAM_PORT } from '../agent-protocol.ts';
import { DescriptorStream } from '../host/descriptor-stream.ts';
import { connectVsock } from '../host/vsock.ts';

/** VMADDR_CID_HOST, linux/vm_sockets.h */
export const HOST_CID = 2;

/** Opens the stream the host has numbered; the first four bytes tell it which one this is. */
export function openStream(number: number): DescriptorStream {
  const stream = new DescriptorStream(connectVsock(HOST_CID, STREAM_PORT));
  const header = Buffer.alloc(4);
  header.writeUInt32LE(number, 0);
  stream.write(header);
  return stream;
}

/** A process's output to the host. When the host stops listening the rest is read and dropped, so that the process never blocks on it. */
export function sendOutput(source: Readable, number: number | undefined): void {
  if (number === undefined) {
    source.resume();
    return;
  }
  const stream = openStream(number);
  stream.on('error', () => {
    source.unpipe(stream);
    source.resume();
  });
  stream.resume(); // the host sends nothing on an output; its end is read away
  source.on('error', () => stream.end()); // EIO: the terminal was hung up
  source.pipe(stream);
}

/** The host's bytes into a process's stdin, and their end. */
export function receiveInput(target: Writable | null, number: number | undefined): void {
  if (!target) return;
  if (number === undefined) {
    target.end();
    return;
  }
  const stream = openStream(number);
  stream.on('error', () => target.end());
  target.on('error', () => stream.destroy()); // EPIPE: the process has closed its stdin
  target.on('close', () => stream.destroy());
  stream.pipe(target);
}
