/**
 * As much of RFC 6455 as a stream of bytes needs: the handshake's answer, and frames of one connection as a Duplex.
 * What comes is a client's: each of its frames must be masked, control frames are short, and payload is given on as it
 * comes, so that no length of a frame makes anything wait in memory.
 */
import { createHash } from 'node:crypto';
import { Duplex, Transform, type TransformCallback } from 'node:stream';
import { HuskError } from '../../../../errors.ts';

/** RFC 6455 §1.3 */
const GUID = '258EAFA5-E914-47DA-95CA-C5AB0DC85B11';

/** §5.2, opcodes */
const [CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG] = [0x0, 0x1, 0x2, 0x8, 0x9, 0xa];
const FIN = 0x80;
const RESERVED = 0x70;
const MASKED = 0x80;
/** bytes of a control frame's payload, §5.5 */
const MAX_CONTROL = 125;
/** §7.4.1 */
const PROTOCOL_ERROR = 1002;
const NORMAL = 1000;

/** @returns Sec-WebSocket-Accept @throws HuskError `invalid` for what is no handshake of version 13 */
export function acceptKey(headers: Record<string, string | string[] | undefined>): string {
  const key = headers['sec-websocket-key'];
  if (typeof key !== 'string' || !/^[A-Za-z0-9+/]{22}==$/.test(key) || headers['sec-websocket-version'] !== '13')
    throw new HuskError('bad request: no WebSocket handshake of version 13', { kind: 'invalid' });
  return createHash('sha1')
    .update(key + GUID)
    .digest('base64');
}

/** @returns what the client sends as bytes; what is written goes as binary frames. Its end is a close frame. */
export function webSocketStream(connection: Duplex): Duplex {
  const decoder = new FrameDecoder((bytes) => void (connection.writableEnded || connection.write(bytes)));
  const encoder = new Transform({
    transform: (chunk: Buffer, _encoding, done) => done(null, serverFrame(BINARY, chunk)),
    flush: (done) => done(null, closeFrame(NORMAL)),
  });
  connection.on('error', () => {}).pipe(decoder);
  encoder.pipe(connection, { end: false });
  const stream = Duplex.from({ readable: decoder, writable: encoder });
  stream.on('error', () => {});
  connection.once('close', () => stream.destroy());
  return stream;
}

/** §5.2: a server's frames are whole and not masked. */
function serverFrame(opcode: number, payload: Uint8Array): Buffer {
  const { length } = payload;
  const extra = length < 126 ? 0 : length < 0x1_0000 ? 2 : 8;
  const frame = Buffer.alloc(2 + extra + length);
  frame[0] = FIN | opcode;
  frame[1] = extra === 0 ? length : extra === 2 ? 126 : 127;
  if (extra === 2) frame.writeUInt16BE(length, 2);
  if (extra === 8) frame.writeBigUInt64BE(BigInt(length), 2);
  frame.set(payload, 2 + extra);
  return frame;
}

function closeFrame(code: number): Buffer {
  const payload = Buffer.alloc(2);
  payload.writeUInt16BE(code);
  return serverFrame(CLOSE, payload);
}

interface Frame {
  opcode: number;
  mask: Uint8Array;
  /** bytes of the payload that are still to come */
  missing: number;
  length: number;
}

class FrameDecoder extends Transform {
  readonly #answer: (bytes: Buffer) => void;
  #head = Buffer.alloc(0);
  #frame: Frame | undefined;
  /** payload of a control frame, which is short */
  #control: Buffer[] = [];
  #isClosed = false;

  constructor(answer: (bytes: Buffer) => void) {
    super();
    this.#answer = answer;
  }

  override _transform(chunk: Buffer, _encoding: BufferEncoding, done: TransformCallback): void {
    let rest = chunk;
    while (rest.length > 0 && !this.#isClosed)
      rest = this.#frame ? this.#payload(rest, this.#frame) : this.#start(rest);
    done();
  }

  /** @returns the bytes behind a frame's head, as soon as all of it is there */
  #start(bytes: Buffer): Buffer {
    const head = Buffer.concat([this.#head, bytes]);
    const size = headSize(head);
    if (size === undefined || head.length < size) {
      this.#head = head;
      return Buffer.alloc(0);
    }
    this.#head = Buffer.alloc(0);
    const frame = readHead(head.subarray(0, size));
    if (!frame) this.#close(PROTOCOL_ERROR);
    else if (frame.length === 0) this.#ended(frame);
    else this.#frame = frame;
    return head.subarray(size);
  }

  #payload(bytes: Buffer, frame: Frame): Buffer {
    const taken = bytes.subarray(0, Math.min(bytes.length, frame.missing));
    const at = frame.length - frame.missing;
    const plain = Buffer.from(taken);
    for (let index = 0; index < plain.length; index++) plain[index]! ^= frame.mask[(at + index) % 4]!;
    frame.missing -= taken.length;
    if (frame.opcode >= CLOSE!) this.#control.push(plain);
    else this.push(plain);
    if (frame.missing === 0) {
      this.#frame = undefined;
      this.#ended(frame);
    }
    return bytes.subarray(taken.length);
  }

  #ended({ opcode }: Frame): void {
    if (opcode < CLOSE!) return;
    const payload = Buffer.concat(this.#control);
    this.#control = [];
    if (opcode === PING) this.#answer(serverFrame(PONG!, payload));
    if (opcode === CLOSE) this.#close(NORMAL);
  }

  /** The client's last word, or an error: what comes behind it is not read. */
  #close(code: number): void {
    this.#isClosed = true;
    this.#answer(closeFrame(code));
    this.push(null);
  }
}

/** @returns undefined where not even the length's form is there */
function headSize(head: Buffer): number | undefined {
  if (head.length < 2) return undefined;
  const short = head[1]! & 0x7f;
  return 2 + (short === 126 ? 2 : short === 127 ? 8 : 0) + (head[1]! & MASKED ? 4 : 0);
}

/** @returns undefined for a frame that no client may send */
function readHead(head: Buffer): Frame | undefined {
  const opcode = head[0]! & 0x0f;
  const short = head[1]! & 0x7f;
  const length = short === 126 ? head.readUInt16BE(2) : short === 127 ? Number(head.readBigUInt64BE(2)) : short;
  const isControl = opcode >= CLOSE!;
  const isKnown = [CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG].includes(opcode);
  const isMasked = (head[1]! & MASKED) !== 0;
  if (!isKnown || !isMasked || (head[0]! & RESERVED) !== 0 || !Number.isSafeInteger(length)) return undefined;
  if (isControl && (length > MAX_CONTROL || (head[0]! & FIN) === 0)) return undefined;
  return { opcode, mask: head.subarray(-4), missing: length, length };
}
