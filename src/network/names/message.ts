/**
 * DNS messages as bytes (RFC 1035 §4, EDNS: RFC 6891): what a container asks, and the records of what a resolver
 * answers. Both sides are hostile. Every reader returns undefined for what breaks the format, never throws, never
 * reads outside, and works in time proportional to the message. Pure; nothing here knows what is right to answer.
 *
 * Names become text as master files write them (RFC 1035 §5.1), in lower case and without the dot at the end, so
 * that a dot within a label is another name than the same dot between two: `a\.b`, `a.b`.
 */

/** bytes: id, flags, and four counts of 16 bits */
export const HEADER = 12;
/** bytes of a question behind its name: type and class */
const QUESTION_TAIL = 4;
/** bytes of a record between its name and its data: type, class, time to live, length */
export const RECORD_HEAD = 10;
/** bytes of a name, its lengths and the root included; of a label. RFC 1035 §2.3.4 */
const MAX_NAME = 255;
const MAX_LABEL = 63;
/**
 * How often a name may go on elsewhere (RFC 1035 §4.1.4). More is a message made to cost much: honest ones need one
 * or two.
 */
const MAX_POINTERS = 16;
/** bytes; what a client without EDNS takes by UDP */
const MIN_UDP = 512;
/** bytes; behind a 16-bit length */
export const MAX_MESSAGE = 65_535;

/** RFC 1035 §3.2.2 and later: assigned at IANA, "Domain Name System (DNS) Parameters" */
export const TYPE = { A: 1, CNAME: 5, PTR: 12, MX: 15, AAAA: 28, OPT: 41 } as const;
export const CLASS_IN = 1;
export const RCODE = { NOERROR: 0, FORMERR: 1, SERVFAIL: 2, NXDOMAIN: 3, NOTIMP: 4, REFUSED: 5, BADVERS: 16 } as const;
/** of the second 16-bit word of the header */
export const FLAG = {
  QR: 0x8000,
  OPCODE: 0x7800,
  AA: 0x0400,
  TC: 0x0200,
  RD: 0x0100,
  RA: 0x0080,
  AD: 0x0020,
  CD: 0x0010,
};

/** What a container asks. `bytes` is the message itself, and stays as it came. */
export interface Query {
  bytes: Buffer;
  name: string;
  type: number;
  class: number;
  /** where the question ends */
  end: number;
  /** bytes that the client takes by UDP */
  size: number;
  /** the OPT record, whole; absent: the client knows nothing of EDNS */
  edns?: { version: number; start: number; end: number };
}

/** A message that is no query of ours, with what to say to it. */
export interface Refused {
  bytes: Buffer;
  rcode: number;
}

/** Most records behind the question of a query: a signature and OPT; an IXFR has one more */
const MAX_QUERY_RECORDS = 4;

/** @returns undefined when nothing is to be said: it is too short, or itself an answer (two servers would never end) */
export function readQuery(bytes: Buffer): Query | Refused | undefined {
  if (bytes.length < HEADER || (bytes[2]! & 0x80) !== 0) return undefined;
  if ((bytes.readUInt16BE(2) & FLAG.OPCODE) !== 0) return { bytes, rcode: RCODE.NOTIMP };
  const refused = { bytes, rcode: RCODE.FORMERR };
  if (bytes.readUInt16BE(4) !== 1) return refused;
  // nothing stands before the question that its name could point to
  const name = readName(bytes, HEADER, 0);
  if (name === undefined || name.end + QUESTION_TAIL > bytes.length) return refused;
  const end = name.end + QUESTION_TAIL;
  const query: Query = {
    bytes,
    name: name.text,
    type: bytes.readUInt16BE(name.end),
    class: bytes.readUInt16BE(name.end + 2),
    end,
    size: MIN_UDP,
  };
  const records = bytes.readUInt16BE(6) + bytes.readUInt16BE(8) + bytes.readUInt16BE(10);
  if (records > MAX_QUERY_RECORDS) return refused;
  for (let count = 0, at = end; count < records; count++) {
    const record = readRecord(bytes, at);
    if (record === undefined) return refused;
    if (record.type === TYPE.OPT) {
      // RFC 6891 §6.1.1: at most one, and its name is the root
      if (query.edns !== undefined || record.start + 1 + RECORD_HEAD !== record.data) return refused;
      query.edns = { version: (record.ttl >>> 16) & 0xff, start: record.start, end: record.end };
      query.size = Math.max(MIN_UDP, record.class);
    }
    at = record.end;
  }
  return query;
}

/** Whether the kind of a message says that it answers, and its question is the query's own; names in any case. */
export function answers(message: Buffer, query: Query): boolean {
  if (message.length < HEADER) return false;
  const flags = message.readUInt16BE(2);
  if ((flags & FLAG.QR) === 0 || (flags & FLAG.OPCODE) !== 0) return false;
  const questions = message.readUInt16BE(4);
  // a server that does not even understand the question need not repeat it
  if (questions === 0 && message.length === HEADER) return (flags & 0xf) === RCODE.FORMERR;
  if (questions !== 1 || message.length < query.end) return false;
  const name = query.end - QUESTION_TAIL;
  for (let at = HEADER; at < name; at++)
    if (message[at] !== query.bytes[at] && lower(message[at]!) !== lower(query.bytes[at]!)) return false;
  // RFC 4343 §3: a length is never a letter, so lengths are compared as they are
  return message.compare(query.bytes, name, query.end, name, query.end) === 0;
}

export interface Record {
  /** where its name begins */
  start: number;
  type: number;
  class: number;
  /** seconds */
  ttl: number;
  /** where its data begins */
  data: number;
  end: number;
}

/** @returns undefined when it does not lie within the message whole */
export function readRecord(bytes: Buffer, start: number): Record | undefined {
  const name = skipName(bytes, start);
  if (name === undefined || name + RECORD_HEAD > bytes.length) return undefined;
  const data = name + RECORD_HEAD;
  const end = data + bytes.readUInt16BE(name + 8);
  if (end > bytes.length) return undefined;
  return {
    start,
    type: bytes.readUInt16BE(name),
    class: bytes.readUInt16BE(name + 2),
    ttl: bytes.readUInt32BE(name + 4),
    data,
    end,
  };
}

/** @returns where it ends; not where it leads */
function skipName(bytes: Buffer, start: number): number | undefined {
  for (let at = start; at < bytes.length;) {
    const length = bytes[at]!;
    if (length === 0) return at + 1;
    if (length >= 0xc0) return at + 2 <= bytes.length ? at + 2 : undefined;
    if (length > MAX_LABEL) return undefined;
    at += 1 + length;
    if (at - start > MAX_NAME) return undefined;
  }
  return undefined;
}

export interface Name {
  text: string;
  /** where its labels lie, each with its length */
  labels: [start: number, end: number][];
  /** where it ends in the message: behind its first pointer, where it has one */
  end: number;
}

/** @param pointers how many it may have; each leads to before the place where the last one led */
export function readName(bytes: Buffer, start: number, pointers = MAX_POINTERS): Name | undefined {
  const parts: string[] = [];
  const labels: Name['labels'] = [];
  let length = 1;
  let end: number | undefined;
  let at = start;
  // a pointer that leads forward, or to itself, would go round for ever
  let before = start;
  for (;;) {
    const byte = bytes[at];
    if (byte === undefined) return undefined;
    if (byte === 0) break;
    if (byte >= 0xc0) {
      if (at + 2 > bytes.length || pointers-- === 0) return undefined;
      const to = bytes.readUInt16BE(at) & 0x3fff;
      if (to >= before) return undefined;
      end ??= at + 2;
      before = at = to;
      continue;
    }
    length += 1 + byte;
    if (byte > MAX_LABEL || length > MAX_NAME || at + 1 + byte > bytes.length) return undefined;
    parts.push(labelText(bytes, at + 1, at + 1 + byte));
    labels.push([at, at + 1 + byte]);
    at += 1 + byte;
  }
  return { text: parts.join('.'), labels, end: end ?? at + 1 };
}

/** A name that was read, as bytes that need nothing else of its message. */
export function wireName(bytes: Buffer, { labels }: Name): Buffer {
  return Buffer.concat([...labels.map(([start, end]) => bytes.subarray(start, end)), Buffer.of(0)]);
}

/** Text → bytes, for names of containers. @returns undefined when DNS cannot say it */
export function encodeName(text: string): Buffer | undefined {
  const labels = text === '' ? [] : text.split('.').map((label) => Buffer.from(label));
  if (labels.some((label) => label.length === 0 || label.length > MAX_LABEL)) return undefined;
  const wire = Buffer.concat([...labels.flatMap((label) => [Buffer.of(label.length), label]), Buffer.of(0)]);
  return wire.length > MAX_NAME ? undefined : wire;
}

/** what names of hosts are made of, beside letters: these need no escape and have no case */
const isPlain = (byte: number) =>
  (byte >= 0x61 && byte <= 0x7a) || (byte >= 0x30 && byte <= 0x39) || byte === 0x2d || byte === 0x5f;

function labelText(bytes: Buffer, start: number, end: number): string {
  let at = start;
  while (at < end && isPlain(lower(bytes[at]!))) at++;
  // letters of ASCII alone have a case in DNS (RFC 4343)
  if (at === end) return bytes.toString('latin1', start, end).toLowerCase();
  let text = '';
  for (at = start; at < end; at++) {
    const byte = lower(bytes[at]!);
    if (isPlain(byte)) text += String.fromCharCode(byte);
    else if (byte > 0x20 && byte < 0x7f) text += `\\${String.fromCharCode(byte)}`;
    else text += `\\${String(byte).padStart(3, '0')}`;
  }
  return text;
}

const lower = (byte: number) => (byte >= 0x41 && byte <= 0x5a ? byte + 0x20 : byte);
