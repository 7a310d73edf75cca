/**
 * What of a resolver's answer a container may see: for containers that reach only what they are allowed to, so that an
 * address is known to the rules before it is known to the container. Addresses are those of the name that was asked
 * for, by way of its CNAMEs; whatever else the message may carry is cut. Pure.
 */
import { addressOfBytes, bytesOfAddress } from './address.ts';
import { compose, emptyMessage, type NewRecord, type Protocol, TO_DATA } from './compose.ts';
import {
  CLASS_IN,
  FLAG,
  HEADER,
  type Name,
  type Query,
  readName,
  readRecord,
  type Record,
  TYPE,
  wireName,
} from './message.ts';

export interface AnswerAddress {
  address: string;
  /** seconds */
  ttl: number;
}

/** What is decided about the answers of resolvers; about names of the container's own networks nobody is asked. */
export interface AnswerPolicy {
  /** Whether a name may be asked for. Of what may not the container hears that it is not there, and nobody outside. */
  allow(name: string, type: number): boolean;
  /** Is waited for before the container gets the answer. @returns the addresses that it may have */
  onAnswer(name: string, addresses: readonly AnswerAddress[]): Promise<readonly AnswerAddress[]>;
  /** seconds that the container may remember an answer, at most */
  maxTtl: number;
}

/** IANA: asks for whatever there is */
const TYPE_ANY = 255;
/** CNAMEs that lead on to one another; resolvers stop at fewer */
const MAX_HOPS = 16;
/** addresses of one name: each becomes an element of a rule, and no honest name has more */
const MAX_ADDRESSES = 256;
/** bytes of the data, by type */
const ADDRESS_LENGTH: { readonly [type: number]: number } = { [TYPE.A]: 4, [TYPE.AAAA]: 16 };

interface Alias {
  ttl: number;
  target: Name;
}

export interface ReadAnswer {
  /** from the name that was asked for to the one that has the addresses */
  aliases: readonly Alias[];
  addresses: readonly AnswerAddress[];
  records: readonly Record[];
}

/** @param answer to that query (`answers`, message.ts) @returns undefined for what breaks the format */
export function readAnswer(answer: Buffer, query: Query): ReadAnswer | undefined {
  // one that does not repeat the question has no records either
  const count = answer.length < query.end ? 0 : answer.readUInt16BE(6);
  const records: Record[] = [];
  const owners: string[] = [];
  const targets = new Map<string, Alias>();
  for (let at = query.end; records.length < count;) {
    const record = readRecord(answer, at);
    const owner = record && readName(answer, record.start);
    if (record === undefined || owner === undefined) return undefined;
    if (record.type === TYPE.CNAME) {
      const target = readName(answer, record.data);
      if (target?.end !== record.end) return undefined;
      targets.set(owner.text, { ttl: record.ttl, target });
    }
    records.push(record);
    owners.push(owner.text);
    at = record.end;
  }
  const aliases: Alias[] = [];
  let last = query.name;
  for (let next = targets.get(last); next && aliases.length < MAX_HOPS; next = targets.get(last)) {
    aliases.push(next);
    last = next.target.text;
  }
  const addresses = records
    .filter(
      ({ type, class: kind, data, end }, index) =>
        owners[index] === last &&
        (type === query.type || query.type === TYPE_ANY) &&
        kind === CLASS_IN &&
        end - data === ADDRESS_LENGTH[type],
    )
    .slice(0, MAX_ADDRESSES)
    .map(({ data, end, ttl }) => ({ address: addressOfBytes(answer.subarray(data, end)), ttl }));
  return { aliases, addresses, records };
}

/** @param options.kept of `read.addresses`; what is not one of those is not put in */
export function keptAnswer(
  answer: Buffer,
  query: Query,
  read: ReadAnswer,
  { kept, maxTtl, protocol }: { kept: readonly AnswerAddress[]; maxTtl: number; protocol: Protocol },
): Buffer {
  const flags = answer.readUInt16BE(2);
  const rcode = flags & 0xf;
  const cut = (flags & FLAG.TC) !== 0;
  const hasAddresses = read.records.some(({ type }) => type in ADDRESS_LENGTH);
  if (!(query.type in ADDRESS_LENGTH) && query.type !== TYPE_ANY && !hasAddresses && read.records.length > 0)
    return withoutTail(answer, query, read, { rcode, cut, maxTtl });
  const records: NewRecord[] = [];
  let name = HEADER;
  let at = query.end;
  for (const { ttl, target } of read.aliases) {
    const data = wireName(answer, target);
    records.push({ name, type: TYPE.CNAME, ttl: Math.min(ttl, maxTtl), data });
    // the next record's name is this one's target
    name = at + TO_DATA;
    at = name + data.length;
  }
  const allowed = new Set(kept.map(({ address }) => address));
  for (const { address, ttl } of read.addresses) {
    if (!allowed.has(address)) continue;
    const data = bytesOfAddress(address)!;
    records.push({ name, type: data.length === 4 ? TYPE.A : TYPE.AAAA, ttl: Math.min(ttl, maxTtl), data });
  }
  return compose(query, records, { rcode, protocol, cut });
}

/** The answers as they are: names within them may be offsets, so they stay where they were; what follows them goes. */
function withoutTail(
  answer: Buffer,
  query: Query,
  { records }: ReadAnswer,
  { rcode, cut, maxTtl }: { rcode: number; cut: boolean; maxTtl: number },
): Buffer {
  const end = records.at(-1)!.end;
  const bytes = emptyMessage(query, rcode, end);
  answer.copy(bytes, query.end, query.end, end);
  if (cut) bytes[2]! |= FLAG.TC >> 8;
  bytes.writeUInt16BE(records.length, 6);
  // the time stands before the length, which stands before the data
  for (const { data, ttl } of records) bytes.writeUInt32BE(Math.min(ttl, maxTtl), data - 6);
  return bytes;
}
