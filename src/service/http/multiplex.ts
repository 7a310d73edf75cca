/**
 * Docker's multiplexed streams (moby pkg/stdcopy): stdout and stderr over one connection, in frames of a header of 8
 * bytes and a payload. The header is the stream's number, three zeros, and the payload's length as u32 big-endian.
 */
import type { Writable } from 'node:stream';
import { write } from './answer.ts';
import { MAX_FRAME } from './bounds.ts';

export const STDOUT = 1;
export const STDERR = 2;
/** bytes of a frame's header */
const FRAME_HEADER = 8;

/** @param stream STDOUT or STDERR @param payload at most 4 GiB; MAX_FRAME bytes where a client is to read it */
export function frame(stream: number, payload: Uint8Array): Buffer {
  const bytes = Buffer.alloc(FRAME_HEADER + payload.length);
  bytes[0] = stream;
  bytes.writeUInt32BE(payload.length, 4);
  bytes.set(payload, FRAME_HEADER);
  return bytes;
}

/** @returns frames of at most MAX_FRAME bytes each, one behind the other; nothing for no bytes */
export function frames(stream: number, bytes: Uint8Array): Buffer {
  if (bytes.length <= MAX_FRAME) return bytes.length === 0 ? Buffer.alloc(0) : frame(stream, bytes);
  const parts: Buffer[] = [];
  for (let at = 0; at < bytes.length; at += MAX_FRAME) parts.push(frame(stream, bytes.subarray(at, at + MAX_FRAME)));
  return Buffer.concat(parts);
}

/** What one frame, or more where it is long, is to have. */
export interface Payload {
  /** STDOUT or STDERR */
  stream: number;
  content: string | Uint8Array;
}

/**
 * @returns frames of many payloads in one piece. A log is hundreds of thousands of lines, each of which would be an
 * allocation and a write of its own
 */
export function framesOf(payloads: readonly Payload[]): Buffer {
  const sizes = payloads.map(({ content }) => Buffer.byteLength(content));
  const all = Buffer.allocUnsafe(
    sizes.reduce((sum, size) => sum + size + FRAME_HEADER * Math.ceil(size / MAX_FRAME), 0),
  );
  let at = 0;
  for (const [index, { stream, content }] of payloads.entries()) {
    const size = sizes[index]!;
    if (size > MAX_FRAME) at += frames(stream, Buffer.from(content as string)).copy(all, at);
    if (size === 0 || size > MAX_FRAME) continue;
    // The stream's number and three zeros are a u32 with the number in its first byte.
    all.writeUInt32LE(stream, at);
    all.writeUInt32BE(size, at + 4);
    if (typeof content === 'string') all.write(content, at + FRAME_HEADER);
    else all.set(content, at + FRAME_HEADER);
    at += FRAME_HEADER + size;
  }
  return all;
}

/** @returns the payloads alone, one behind the other, as a terminal's output is */
export const bytesOf = (payloads: readonly Payload[]): Buffer =>
  Buffer.concat(payloads.map(({ content }) => (typeof content === 'string' ? Buffer.from(content) : content)));

/**
 * Writes outputs of a container to one connection, each piece whole before the next one, so that frames of two outputs
 * never mix. A caller that waits for the promise reads no faster than the client does.
 */
export class StreamWriter {
  readonly #to: Writable;
  readonly #multiplexed: boolean;
  readonly #signal: AbortSignal;
  #last: Promise<void> = Promise.resolve();

  /** @param signal aborted when the connection has gone; from then on writing does nothing */
  constructor(to: Writable, options: { multiplexed: boolean; signal: AbortSignal }) {
    this.#to = to;
    this.#multiplexed = options.multiplexed;
    this.#signal = options.signal;
  }

  /** @returns when the connection takes more, or has gone */
  write(stream: number, bytes: Uint8Array): Promise<void> {
    this.#last = this.#last.then(() =>
      write(this.#to, this.#multiplexed ? frames(stream, bytes) : bytes, this.#signal),
    );
    return this.#last;
  }

  /** Copies a whole output. @throws what the output throws */
  async copy(stream: number, output: AsyncIterable<Uint8Array>): Promise<void> {
    for await (const bytes of output) {
      if (this.#signal.aborted) return;
      await this.write(stream, bytes);
    }
  }
}
