/**
 * What both ends of gRPC have in common: frames of messages, status codes, and texts in headers.
 *
 * Source: gRPC over HTTP2 (grpc/doc/PROTOCOL-HTTP2.md), statuscodes.md.
 */
import type { Readable } from 'node:stream';
import { HuskError, type ErrorKind } from '../../errors.ts';

/** bytes of one message, BuildKit's own bound */
const MAX_MESSAGE = 16 << 20;
/** a byte that says whether it is compressed, and four of its length, big-endian */
const HEAD = 5;

export const CONTENT_TYPE = 'application/grpc';

export const OK = 0;
export const UNKNOWN = 2;
const INVALID_ARGUMENT = 3;
export const NOT_FOUND = 5;
export const UNIMPLEMENTED = 12;
const INTERNAL = 13;
export const UNAVAILABLE = 14;

/** A call that ended with another status than OK. */
export class GrpcError extends Error {
  override name = 'GrpcError';
  readonly code: number;
  /** google.rpc.Status, where there is more than the message */
  readonly details: Buffer | undefined;

  constructor(code: number, message: string, options: { details?: Buffer; cause?: unknown } = {}) {
    super(message, { cause: options.cause });
    this.code = code;
    this.details = options.details;
  }
}

export function frame(message: Uint8Array): Buffer {
  const framed = Buffer.allocUnsafe(HEAD + message.length);
  framed[0] = 0;
  framed.writeUInt32BE(message.length, 1);
  framed.set(message, HEAD);
  return framed;
}

/**
 * Cuts a stream into messages.
 * @throws HuskError `corrupt`, `limit`
 */
export async function* messagesOf(stream: Readable, most = MAX_MESSAGE): AsyncGenerator<Buffer> {
  const chunks: Buffer[] = [];
  let length = 0;
  /** of the message that is awaited, with its head; undefined before the head is whole */
  let wanted: number | undefined;
  for await (const chunk of stream as AsyncIterable<Buffer>) {
    chunks.push(chunk);
    length += chunk.length;
    while (length >= (wanted ?? HEAD)) {
      const whole = chunks.length === 1 ? chunks[0]! : Buffer.concat(chunks);
      wanted ??= HEAD + lengthOf(whole, most);
      chunks.splice(0, chunks.length, whole);
      if (length < wanted) break;
      yield whole.subarray(HEAD, wanted);
      const rest = whole.subarray(wanted);
      chunks.splice(0, chunks.length, ...(rest.length > 0 ? [rest] : []));
      length = rest.length;
      wanted = undefined;
    }
  }
  if (length > 0) throw new HuskError('a gRPC stream ends within a message', { kind: 'corrupt' });
}

function lengthOf(head: Buffer, most: number): number {
  if (head[0] !== 0) throw new HuskError('a gRPC message is compressed', { kind: 'unsupported' });
  const length = head.readUInt32BE(1);
  if (length > most)
    throw new HuskError(`a gRPC message of ${length} bytes: at most ${most} are taken`, { kind: 'limit' });
  return length;
}

const CODES: Record<ErrorKind, number> = {
  'not-found': NOT_FOUND,
  conflict: 9,
  invalid: INVALID_ARGUMENT,
  unsupported: UNIMPLEMENTED,
  corrupt: INVALID_ARGUMENT,
  unauthorized: 16,
  unavailable: UNAVAILABLE,
  limit: 8,
  'start-failed': UNKNOWN,
  internal: INTERNAL,
};

/** @returns the error of a call; a fault of husk's has no text of its own for clients */
export function grpcError(error: unknown): GrpcError {
  if (error instanceof GrpcError) return error;
  if (error instanceof HuskError) {
    const { kind, message, fix } = error;
    return new GrpcError(CODES[kind], fix === undefined ? message : `${message} (${fix})`, { cause: error });
  }
  return new GrpcError(INTERNAL, 'an error of husk itself: see what husk serve has written', { cause: error });
}

/** Bytes of a status message as a header may have them: printable ASCII but for the percent sign stays. */
export const encodeText = (text: string): string =>
  Array.from(Buffer.from(text), (byte) =>
    byte >= 0x20 && byte <= 0x7e && byte !== 0x25
      ? String.fromCharCode(byte)
      : `%${byte.toString(16).toUpperCase().padStart(2, '0')}`,
  ).join('');

export function decodeText(text: string): string {
  const bytes = text.replace(/%([0-9a-fA-F]{2})/g, (_, digits: string) => String.fromCharCode(parseInt(digits, 16)));
  return Buffer.from(bytes, 'latin1').toString('utf8');
}
