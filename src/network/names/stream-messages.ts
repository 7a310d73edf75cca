/** DNS messages in a stream: each behind its length, 16 bits (RFC 1035 §4.2.2). */

/** bytes */
const LENGTH = 2;

export function framed(message: Buffer): Buffer {
  const bytes = Buffer.allocUnsafe(LENGTH + message.length);
  bytes.writeUInt16BE(message.length, 0);
  bytes.set(message, LENGTH);
  return bytes;
}

/**
 * Puts a stream's chunks together. It holds one message at most, in one piece: a client that sends a byte at a time
 * costs as much as any other.
 */
export class MessageDecoder {
  #length = Buffer.alloc(LENGTH);
  #into = this.#length;
  #filled = 0;

  /** Whole messages, as they are asked for; to be read to the end before the next chunk. */
  *push(chunk: Buffer): Generator<Buffer> {
    for (let at = 0; at < chunk.length;) {
      const count = chunk.copy(this.#into, this.#filled, at);
      at += count;
      this.#filled += count;
      if (this.#filled < this.#into.length) return;
      const whole = this.#into;
      this.#filled = 0;
      if (whole === this.#length) {
        const length = whole.readUInt16BE(0);
        // nothing is no message, and asks for nothing
        if (length > 0) this.#into = Buffer.allocUnsafeSlow(length);
      } else {
        this.#into = this.#length;
        yield whole;
      }
    }
  }
}
