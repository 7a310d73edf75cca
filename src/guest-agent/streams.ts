/** The agent's bulk connections to the host: one vsock connection a stream, see src/agent-protocol.ts. */
import type { Readable, Writable } from 'node:stream';
import { STREAM_PORT, type StreamToken } from '../agent-protocol.ts';
import { DescriptorStream, type DescriptorStreamOptions } from '../host/streams/descriptor-stream.ts';
import { connectVsock } from '../host/streams/vsock.ts';
import { after } from '../long-timer.ts';

/** VMADDR_CID_HOST, linux/vm_sockets.h */
export const HOST_CID = 2;

/** Opens the stream that the host has named. */
export function openStream(token: StreamToken, options?: DescriptorStreamOptions): DescriptorStream {
  const stream = new DescriptorStream(connectVsock(HOST_CID, STREAM_PORT), options);
  stream.write(Buffer.from(token, 'hex'));
  return stream;
}

/**
 * A process's output counts as over when nothing came at so many looks, so many ms apart: a child it left may hold the
 * pipe for ever. Looks, not time: a machine that stood still meanwhile has read nothing either.
 */
const QUIET_LOOKS = 4;
const LOOK_MS = 50;
/**
 * ms after which a host that does not take the output hears of the exit all the same; one that is busy takes it late
 */
const FLUSH_MS = 20_000;

export interface Output {
  /** after the process's exit: its last bytes are on their way to the host, before anything sent later */
  flushed(): Promise<void>;
}

/**
 * A process's output to the host. When the host stops listening the rest is read and dropped, so that the process never
 * blocks on it.
 */
export function sendOutput(source: Readable, token: StreamToken | undefined): Output {
  if (token === undefined) {
    source.resume();
    return { flushed: async () => {} };
  }
  const stream = openStream(token);
  let looks = 0;
  source.on('data', () => (looks = 0));
  const over = new Promise<void>((resolve) => {
    for (const event of ['finish', 'close', 'error'] as const) stream.once(event, () => resolve());
  });
  stream.on('error', () => {
    source.unpipe(stream);
    source.resume();
  });
  stream.resume(); // the host sends nothing on an output; its end is read away
  source.on('error', () => stream.end()); // EIO: the terminal was hung up
  source.pipe(stream);
  const quiet = async () => {
    // not the wall clock: the host sets it
    const start = performance.now();
    const waits = () => stream.writableLength > 0 || looks < QUIET_LOOKS;
    for (looks = 0; !stream.destroyed && waits() && performance.now() - start < FLUSH_MS; looks++) {
      await after(LOOK_MS);
      // timers go before what there is to read: one turn for it
      await new Promise((turn) => setImmediate(turn));
    }
  };
  return { flushed: () => Promise.race([over, quiet()]) };
}

/** The host's bytes into a process's stdin, and their end. */
export function receiveInput(target: Writable | null, token: StreamToken | undefined): void {
  if (!target) return;
  if (token === undefined) {
    target.end();
    return;
  }
  const stream = openStream(token);
  stream.on('error', () => target.end());
  target.on('error', () => stream.destroy()); // EPIPE: the process has closed its stdin
  target.on('close', () => stream.destroy());
  stream.pipe(target);
}
