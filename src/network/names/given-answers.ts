/**
 * Answers out of records, kept to be given again: to a query that is the same but for its id, for as long as the
 * records are what they were. Programs ask the same names all the time, and most of what an answer costs is to read the
 * query and the records anew. What a container may have kept by asking much is bounded.
 */
import { type Protocol, TO_DATA } from './compose.ts';
import { FLAG, type Query, TYPE } from './message.ts';

/** Queries that are remembered. A container that asks in more ways begins anew, and costs what it did before. */
const MOST = 256;
/** Bytes of such a query: the longest name, EDNS with a cookie. Longer ones are answered, and not remembered. */
const LONGEST_QUERY = 320;
/** Bytes of such an answer: some 30 addresses. */
const LONGEST_ANSWER = 512;
/** Bytes of a message that are its id. */
const ID = 2;
/** Bytes of a record with one address. */
const RECORD: { readonly [type: number]: number } = { [TYPE.A]: TO_DATA + 4, [TYPE.AAAA]: TO_DATA + 16 };

interface Given {
  bytes: Buffer;
  /** where the records begin */
  start: number;
  /** records with an address; 0: the answer has no order */
  count: number;
  /** bytes of each */
  size: number;
}

export class GivenAnswers {
  readonly #version: () => number;
  readonly #answers: Record<Protocol, Map<string, Given>> = { udp: new Map(), tcp: new Map() };
  #of: number | undefined;

  /** @param version of the records: a number that is another one after each change of what they say */
  constructor(version: () => number) {
    this.#version = version;
  }

  /**
   * @returns a copy that is the caller's, its addresses in a random order; undefined for what has to be found out
   * @throws what `version` does
   */
  find(query: Buffer, protocol: Protocol): Buffer | undefined {
    const version = this.#version();
    if (version !== this.#of) this.#forget(version);
    const given = query.length <= LONGEST_QUERY ? this.#answers[protocol].get(keyOf(query)) : undefined;
    if (given === undefined) return undefined;
    const bytes = Buffer.from(given.bytes);
    bytes[0] = query[0]!;
    bytes[1] = query[1]!;
    if (given.count > 1) shuffle(bytes, given);
    return bytes;
  }

  /** @param answer out of the records alone, as they are since `find` was asked for it in the same turn */
  keep({ bytes: query, type, end }: Query, protocol: Protocol, answer: Buffer): void {
    const isCut = (answer.readUInt16BE(2) & FLAG.TC) !== 0;
    // what was left out of an answer is not always the same
    if (isCut || query.length > LONGEST_QUERY || answer.length > LONGEST_ANSWER) return;
    const answers = this.#answers[protocol];
    if (answers.size >= MOST) answers.clear();
    const size = RECORD[type] ?? 0;
    const count = size === 0 ? 0 : answer.readUInt16BE(6);
    answers.set(keyOf(query), { bytes: Buffer.from(answer), start: end, count, size });
  }

  #forget(version: number): void {
    this.#answers.udp.clear();
    this.#answers.tcp.clear();
    this.#of = version;
  }
}

const keyOf = (query: Buffer) => query.toString('latin1', ID);

/** Not always in the same order, so that those who take the first spread themselves over all. */
function shuffle(bytes: Buffer, { start, count, size }: Given): void {
  const record = Buffer.allocUnsafe(size);
  for (let index = count - 1; index > 0; index--) {
    const [here, there] = [start + index * size, start + Math.floor(Math.random() * (index + 1)) * size];
    bytes.copy(record, 0, here, here + size);
    bytes.copyWithin(here, there, there + size);
    record.copy(bytes, there);
  }
}
