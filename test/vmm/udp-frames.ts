/** The two frames that a test exchanges with the guest of test/vmm/guest/init.c. */

/** A UDP datagram from 10.9.8.1:9 to 10.9.8.7:7 in an Ethernet frame (RFC 791, 768; no UDP checksum). */
export function udpFrame(mac: Uint8Array, payload: Buffer): Buffer {
  const frame = Buffer.alloc(42 + payload.length);
  frame.set(mac, 0);
  frame.set([2, 0, 0, 0, 0, 1], 6);
  frame.writeUInt16BE(0x800, 12);
  frame.set([0x45, 0, 0, 28 + payload.length, 0, 0, 0, 0, 64, 17, 0, 0, 10, 9, 8, 1, 10, 9, 8, 7], 14);
  let sum = 0;
  for (let at = 14; at < 34; at += 2) sum += frame.readUInt16BE(at);
  frame.writeUInt16BE(~((sum & 0xffff) + (sum >>> 16)) & 0xffff, 24);
  frame.writeUInt16BE(9, 34);
  frame.writeUInt16BE(7, 36);
  frame.writeUInt16BE(8 + payload.length, 38);
  frame.set(payload, 42);
  return frame;
}

/** RFC 826: what was asked for is at 02:00:00:00:00:01 */
export function arpReply(request: Buffer): Buffer {
  const reply = Buffer.from(request.subarray(0, 42));
  reply.set(request.subarray(6, 12), 0);
  reply.set([2, 0, 0, 0, 0, 1], 6);
  reply.writeUInt16BE(2, 20);
  reply.set([2, 0, 0, 0, 0, 1], 22);
  reply.set(request.subarray(38, 42), 28);
  reply.set(request.subarray(22, 32), 32);
  return reply;
}
