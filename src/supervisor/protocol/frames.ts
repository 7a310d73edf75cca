/**
 * The frame format of protocol.ts: bytes to frames and back. Parses and builds only, opens nothing. A peer may send
 * anything: a length outside 1..MAX_FRAME or an unknown kind ends the conversation, and never more than one frame is
 * buffered.
 */
import { HuskError } from '../../errors.ts';
import { FRAME_JSON, FRAME_STDERR, MAX_FRAME, MAX_STREAM_FRAME } from './protocol.ts';

/** u32 little-endian: bytes that follow it */
const LENGTH_BYTES = 4;
const KIND_BYTES = 1;
const HEADER_BYTES = LENGTH_BYTES + KIND_BYTES;

export interface Frame {
  kind: number;
  payload: Buffer;
}

/** @throws HuskError `limit` when the payload does not fit one frame */
export function encodeFrame(kind: number, payload: Uint8Array): Buffer {
  if (payload.length + KIND_BYTES > MAX_FRAME)
    throw new HuskError(`a frame of ${payload.length} bytes is over the bound of ${MAX_FRAME}`, { kind: 'limit' });
  const frame = Buffer.allocUnsafe(HEADER_BYTES + payload.length);
  frame.writeUInt32LE(payload.length + KIND_BYTES, 0);
  frame[LENGTH_BYTES] = kind;
  frame.set(payload, HEADER_BYTES);
  return frame;
}

/** @throws HuskError `limit` that says which part of the message is too large */
export function encodeMessage(message: object): Buffer {
  const payload = Buffer.from(JSON.stringify(message));
  if (payload.length + KIND_BYTES <= MAX_FRAME) return encodeFrame(FRAME_JSON, payload);
  const { path, bytes } = largestPart(message);
  const what = PARTS.find(([part]) => `${path}.`.includes(`${part}.`))?.[1] ?? `${path.slice(1)} is`;
  throw new HuskError(
    `${what} too large: ${bytes} bytes of a request of ${payload.length}, which may have ${MAX_FRAME}`,
    { kind: 'limit' },
  );
}

/** parts of a request that a person or an image gives, by their names in it */
const PARTS: [part: string, name: string][] = [
  ['.env', 'the environment (-e, --env-file, ENV of the image) is'],
  ['.args', 'the command is'],
  ['.labels', 'the labels (-l, --label-file, LABEL of the image) are'],
  ['.attributes', 'the labels (-l, --label-file, LABEL of the image) are'],
  ['.annotations', 'the annotations (--annotation) are'],
  ['.mounts', 'the mounts (-v, --mount, VOLUME of the image) are'],
];

/** The member that most of a message is about: as far down as one member has more than half of what is above it. */
function largestPart(message: object): { path: string; bytes: number } {
  let part = { path: '', value: message as unknown, bytes: JSON.stringify(message).length };
  for (;;) {
    if (typeof part.value !== 'object' || part.value === null || Array.isArray(part.value)) return part;
    const members = Object.entries(part.value).map(([name, value]) => ({
      path: `${part.path}.${name}`,
      value: value as unknown,
      bytes: JSON.stringify(value)?.length ?? 0,
    }));
    const largest = members.sort((a, b) => b.bytes - a.bytes)[0];
    if (!largest || largest.bytes < part.bytes / 2) return part;
    part = largest;
  }
}

/** Stream bytes of any length as frames, each well below the bound. */
export function* encodeStream(kind: number, bytes: Uint8Array): Generator<Buffer> {
  const most = MAX_STREAM_FRAME - KIND_BYTES;
  for (let start = 0; start < bytes.length; start += most) yield encodeFrame(kind, bytes.subarray(start, start + most));
}

/** Feeds on chunks in any cut, yields whole frames. Payloads may share memory with the chunk pushed. */
export class FrameDecoder {
  #pending: Buffer[] = [];
  #pendingBytes = 0;

  /** @throws HuskError `corrupt`; the decoder is then unusable */
  *push(chunk: Buffer): Generator<Frame> {
    this.#pending.push(chunk);
    this.#pendingBytes += chunk.length;
    for (;;) {
      if (this.#pendingBytes < HEADER_BYTES) return;
      const length = this.#peek(LENGTH_BYTES).readUInt32LE(0);
      if (length < KIND_BYTES || length > MAX_FRAME)
        throw new HuskError(`frame length ${length} is outside 1-${MAX_FRAME}`, { kind: 'corrupt' });
      if (this.#pendingBytes < LENGTH_BYTES + length) return;
      const whole = this.#take(LENGTH_BYTES + length);
      const kind = whole[LENGTH_BYTES]!;
      if (kind > FRAME_STDERR) throw new HuskError(`frame kind ${kind} is unknown`, { kind: 'corrupt' });
      yield { kind, payload: whole.subarray(HEADER_BYTES) };
    }
  }

  /** bytes that wait for the rest of their frame; at the end of a stream anything but 0 is a torn frame */
  get buffered(): number {
    return this.#pendingBytes;
  }

  #peek(bytes: number): Buffer {
    if (this.#pending[0]!.length >= bytes) return this.#pending[0]!;
    this.#pending = [Buffer.concat(this.#pending)];
    return this.#pending[0]!;
  }

  #take(bytes: number): Buffer {
    if (this.#pending[0]!.length < bytes) this.#pending = [Buffer.concat(this.#pending)];
    const first = this.#pending[0]!;
    this.#pendingBytes -= bytes;
    if (first.length === bytes) this.#pending.shift();
    else this.#pending[0] = first.subarray(bytes);
    return first.subarray(0, bytes);
  }
}

/** @throws HuskError `corrupt` when the payload is not a JSON object with a `type` */
export function decodeMessage<T extends { type: string }>(payload: Buffer): T {
  let value: unknown;
  try {
    value = JSON.parse(payload.toString());
  } catch (error) {
    throw new HuskError('a message frame is not JSON', { kind: 'corrupt', cause: error });
  }
  if (typeof value !== 'object' || value === null || typeof (value as { type?: unknown }).type !== 'string')
    throw new HuskError('a message frame has no type', { kind: 'corrupt' });
  return value as T;
}
