/** Answers of our own as bytes: a query and records → a message that its client has room for. Pure. */
import { CLASS_IN, FLAG, HEADER, MAX_MESSAGE, type Query, RECORD_HEAD, type Refused, TYPE } from './message.ts';

export type Protocol = 'udp' | 'tcp';

/** bytes that we take by UDP, as told to clients that speak EDNS */
const OUR_SIZE = 4096;
/** bytes of an OPT record without options; of a pointer to a name */
const OPT_LENGTH = 11;
const POINTER = 2;
/** RFC 1035 §4.1.4: two bits say that the others are an offset */
const POINTER_BITS = 0xc000;
/** bytes; the longest datagram of IPv4 */
const MAX_UDP = 65_507;

export interface NewRecord {
  /** where in the message the name of this record stands: the question's, or that of a CNAME before */
  name: number;
  type: number;
  /** seconds */
  ttl: number;
  data: Uint8Array;
}

/** bytes between the name of a record and its own name, where that is the data */
export const TO_DATA = POINTER + RECORD_HEAD;

/**
 * As many of the records as there is room for; that there are others is said, and they are asked for by TCP.
 * @param options.cut there are others already
 */
export function compose(
  query: Query,
  records: readonly NewRecord[],
  { rcode, protocol, cut = false }: { rcode: number; protocol: Protocol; cut?: boolean },
): Buffer {
  const most = (protocol === 'tcp' ? MAX_MESSAGE : Math.min(query.size, MAX_UDP)) - (query.edns ? OPT_LENGTH : 0);
  let end = query.end;
  let count = 0;
  for (const { data } of records) {
    if (end + TO_DATA + data.length > most) break;
    end += TO_DATA + data.length;
    count++;
  }
  const bytes = emptyMessage(query, rcode, end);
  if (cut || count < records.length) bytes[2]! |= FLAG.TC >> 8;
  bytes.writeUInt16BE(count, 6);
  let at = query.end;
  for (const { name, type, ttl, data } of records.slice(0, count)) {
    at = bytes.writeUInt16BE(POINTER_BITS | name, at);
    at = bytes.writeUInt16BE(type, at);
    at = bytes.writeUInt16BE(CLASS_IN, at);
    at = bytes.writeUInt32BE(ttl, at);
    at = bytes.writeUInt16BE(data.length, at);
    bytes.set(data, at);
    at += data.length;
  }
  return bytes;
}

/** An answer without records; of a message that could not be read nothing is repeated but its id and what it wanted. */
export function refuse(query: Query | Refused, rcode: number): Buffer {
  if ('end' in query) return emptyMessage(query, rcode, query.end);
  const header = Buffer.alloc(HEADER);
  query.bytes.copy(header, 0, 0, 2);
  header.writeUInt16BE(flagsOf(query.bytes) | rcode, 2);
  return header;
}

/** Header, the question as it was asked, room for records up to `end`, and OPT where the client has sent one. */
export function emptyMessage(query: Query, rcode: number, end: number): Buffer {
  const { bytes, edns } = query;
  const empty = Buffer.alloc(end + (edns ? OPT_LENGTH : 0));
  bytes.copy(empty, 0, 0, query.end);
  empty.writeUInt16BE(flagsOf(bytes) | (rcode & 0xf), 2);
  empty.writeUInt16BE(1, 4);
  empty.fill(0, 6, HEADER);
  if (edns) {
    empty.writeUInt16BE(1, 10);
    // the root, type, size in place of a class, the upper bits of the code in place of a time; version 0, no options
    empty.writeUInt16BE(TYPE.OPT, end + 1);
    empty.writeUInt16BE(OUR_SIZE, end + 3);
    empty.writeUInt8(rcode >> 4, end + 5);
  }
  return empty;
}

/** An answer, by somebody who asks others; opcode, RD and CD are the query's (RFC 1035 §4.1.1, RFC 4035 §3.1.6). */
const flagsOf = (query: Buffer) => (query.readUInt16BE(2) & (FLAG.OPCODE | FLAG.RD | FLAG.CD)) | FLAG.QR | FLAG.RA;
