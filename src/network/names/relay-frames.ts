/**
 * The frames by which a guest's container has its name server on the host (NAME_FRAME in agent-protocol.ts): values to
 * bytes and back. What the other side sends is cut into frames only as far as its kind and length are right; the
 * contents are DNS messages, read by others. Pure.
 */
import { NAME_FRAME } from '../../agent-protocol.ts';
import type { Protocol } from './compose.ts';
import { MAX_MESSAGE } from './message.ts';

export type FrameKind = (typeof NAME_FRAME)[keyof typeof NAME_FRAME];

export interface Frame {
  kind: FrameKind;
  /** of the question */
  number: number;
  content: Buffer;
}

/** bytes: the content's length, the number, the kind */
const HEAD = 9;
/** bytes of an address's length; of the longest address: eight groups, a zone of IFNAMSIZ - 1 characters, and room */
const ADDRESS_LENGTH = 1;
const MAX_ADDRESS = 64;
/** how much either side may number; then it begins anew */
export const NUMBERS = 0x1_0000_0000;

/** bytes that the content of each kind may have */
const LENGTHS: { readonly [kind in FrameKind]: readonly [least: number, most: number] } = {
  [NAME_FRAME.QUERY_UDP]: [1, MAX_MESSAGE],
  [NAME_FRAME.QUERY_TCP]: [1, MAX_MESSAGE],
  [NAME_FRAME.ANSWER]: [0, MAX_MESSAGE],
  [NAME_FRAME.ASK_UDP]: [ADDRESS_LENGTH, ADDRESS_LENGTH + MAX_ADDRESS + MAX_MESSAGE],
  [NAME_FRAME.ASK_TCP]: [ADDRESS_LENGTH, ADDRESS_LENGTH + MAX_ADDRESS + MAX_MESSAGE],
  [NAME_FRAME.HEARD]: [0, MAX_MESSAGE],
  [NAME_FRAME.FAILED]: [0, 0],
  [NAME_FRAME.FORGET]: [0, 0],
};

/** What each side may say. */
export const GUEST_SAYS: readonly FrameKind[] = [
  NAME_FRAME.QUERY_UDP,
  NAME_FRAME.QUERY_TCP,
  NAME_FRAME.HEARD,
  NAME_FRAME.FAILED,
];
export const HOST_SAYS: readonly FrameKind[] = [
  NAME_FRAME.ANSWER,
  NAME_FRAME.ASK_UDP,
  NAME_FRAME.ASK_TCP,
  NAME_FRAME.FORGET,
];

export const queryKind = (protocol: Protocol): FrameKind =>
  protocol === 'udp' ? NAME_FRAME.QUERY_UDP : NAME_FRAME.QUERY_TCP;
export const askKind = (protocol: Protocol): FrameKind =>
  protocol === 'udp' ? NAME_FRAME.ASK_UDP : NAME_FRAME.ASK_TCP;

export function encodeFrame(kind: FrameKind, number: number, content: Uint8Array = Buffer.alloc(0)): Buffer {
  const bytes = Buffer.allocUnsafe(HEAD + content.length);
  bytes.writeUInt32LE(content.length, 0);
  bytes.writeUInt32LE(number, 4);
  bytes.writeUInt8(kind, 8);
  bytes.set(content, HEAD);
  return bytes;
}

/** The content of an ASK. @param address at most MAX_ADDRESS characters, of ASCII */
export function encodeAsk(address: string, query: Buffer): Buffer {
  return Buffer.concat([Buffer.of(address.length), Buffer.from(address, 'latin1'), query]);
}

/** @throws RangeError when the address does not lie within it */
export function decodeAsk(content: Buffer): { address: string; query: Buffer } {
  const end = ADDRESS_LENGTH + content.readUInt8(0);
  if (end > content.length) throw new RangeError(`an address of ${end - ADDRESS_LENGTH} bytes in ${content.length}`);
  return { address: content.toString('latin1', ADDRESS_LENGTH, end), query: content.subarray(end) };
}

/** Puts a stream's chunks together. It holds one frame at most, in one piece, and only of a length that may be. */
export class FrameDecoder {
  readonly #kinds: readonly FrameKind[];
  readonly #head = Buffer.alloc(HEAD);
  #content: Buffer | undefined;
  /** bytes of the head, then of the content, that have come */
  #filled = 0;

  /** @param kinds that the other side may send */
  constructor(kinds: readonly FrameKind[]) {
    this.#kinds = kinds;
  }

  /**
   * Whole frames, as they are asked for; to be read to the end before the next chunk.
   * @throws RangeError on a kind or length that the other side may not send; nothing it sends later can be read
   */
  *push(chunk: Buffer): Generator<Frame> {
    for (let at = 0; at < chunk.length;) {
      const into = this.#content ?? this.#head;
      const count = chunk.copy(into, this.#filled, at);
      at += count;
      this.#filled += count;
      if (this.#filled < into.length) return;
      this.#filled = 0;
      this.#content ??= Buffer.allocUnsafeSlow(this.#contentLength());
      if (into === this.#head && this.#content.length > 0) continue;
      const frame = { kind: this.#kind(), number: this.#head.readUInt32LE(4), content: this.#content };
      this.#content = undefined;
      yield frame;
    }
  }

  #kind(): FrameKind {
    const byte = this.#head.readUInt8(8);
    const kind = this.#kinds.find((each) => each === byte);
    if (kind === undefined) throw new RangeError(`a frame of names of kind ${byte}`);
    return kind;
  }

  #contentLength(): number {
    const kind = this.#kind();
    const length = this.#head.readUInt32LE(0);
    const [least, most] = LENGTHS[kind];
    if (length < least || length > most)
      throw new RangeError(`a frame of names of kind ${kind} with ${length} bytes, ${least} to ${most} are allowed`);
    return length;
  }
}
