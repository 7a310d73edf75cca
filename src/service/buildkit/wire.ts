/**
 * The protobuf wire format, both ways: fields by number, without a schema. A reader takes what a message has, once, and
 * never looks into a field that nobody asks for; so depth is bounded by the code that reads, and what is unknown is
 * skipped. Pure.
 *
 * Source: protobuf.dev/programming-guides/encoding.
 */
import { HuskError } from '../../errors.ts';

const VARINT = 0;
const FIXED_64 = 1;
const BYTES = 2;
const FIXED_32 = 5;

/** bytes of a varint: 64 bits by seven */
const MAX_VARINT = 10;
/** fields of one message: each costs an object */
const MAX_FIELDS = 100_000;
/** largest field number, 29 bits */
const MAX_NUMBER = 2 ** 29 - 1;

const corrupt = (what: string): HuskError => new HuskError(`a protobuf message ${what}`, { kind: 'corrupt' });

interface Field {
  number: number;
  value: bigint | Buffer;
}

/** The fields of a message. Of a field that is there several times the last counts, but for lists and maps. */
export class Fields {
  readonly #fields: readonly Field[];

  /** @throws HuskError `corrupt`, `limit` */
  constructor(bytes: Buffer) {
    this.#fields = readFields(bytes);
  }

  #values<T extends bigint | Buffer>(number: number, is: (value: bigint | Buffer) => value is T): T[] {
    return this.#fields.flatMap((field) => {
      if (field.number !== number) return [];
      if (!is(field.value)) throw corrupt(`has field ${number} in another form`);
      return [field.value];
    });
  }

  has(number: number): boolean {
    return this.#fields.some((field) => field.number === number);
  }

  bytes(number: number): Buffer {
    return this.#values(number, isBytes).at(-1) ?? Buffer.alloc(0);
  }

  text(number: number): string {
    return this.bytes(number).toString('utf8');
  }

  texts(number: number): string[] {
    return this.#values(number, isBytes).map((bytes) => bytes.toString('utf8'));
  }

  /** @returns a signed number of 64 bits; what has no exact form as a number is the nearest one */
  integer(number: number): number {
    return Number(BigInt.asIntN(64, this.#values(number, isNumber).at(-1) ?? 0n));
  }

  /** @returns an unsigned number of 64 bits */
  unsigned(number: number): number {
    return Number(this.#values(number, isNumber).at(-1) ?? 0n);
  }

  boolean(number: number): boolean {
    return this.unsigned(number) !== 0;
  }

  message(number: number): Fields | undefined {
    return this.has(number) ? new Fields(this.bytes(number)) : undefined;
  }

  messages(number: number): Fields[] {
    return this.#values(number, isBytes).map((bytes) => new Fields(bytes));
  }

  /** @returns `map<string, string>`: entries with the key as field 1 and the value as field 2 */
  textMap(number: number): Map<string, string> {
    return new Map(this.messages(number).map((entry) => [entry.text(1), entry.text(2)]));
  }
}

const isBytes = (value: bigint | Buffer): value is Buffer => typeof value !== 'bigint';
const isNumber = (value: bigint | Buffer): value is bigint => typeof value === 'bigint';

function readFields(bytes: Buffer): Field[] {
  const fields: Field[] = [];
  let at = 0;
  const varint = (): bigint => {
    let value = 0n;
    for (let count = 0; count < MAX_VARINT; count++) {
      const byte = bytes[at++];
      if (byte === undefined) throw corrupt('ends within a number');
      value |= BigInt(byte & 0x7f) << BigInt(7 * count);
      if (byte < 0x80) return BigInt.asUintN(64, value);
    }
    throw corrupt('has a number of more than 64 bits');
  };
  const take = (length: number): Buffer => {
    if (length > bytes.length - at) throw corrupt('ends within a field');
    at += length;
    return bytes.subarray(at - length, at);
  };
  while (at < bytes.length) {
    if (fields.length === MAX_FIELDS)
      throw new HuskError(`a protobuf message has more than ${MAX_FIELDS} fields`, { kind: 'limit' });
    const tag = Number(varint());
    const [number, type] = [Math.floor(tag / 8), tag % 8];
    if (number < 1 || number > MAX_NUMBER) throw corrupt('has a field without a number');
    if (type === VARINT) fields.push({ number, value: varint() });
    else if (type === BYTES) fields.push({ number, value: take(Number(varint())) });
    else if (type === FIXED_64) fields.push({ number, value: take(8).readBigUInt64LE() });
    else if (type === FIXED_32) fields.push({ number, value: BigInt(take(4).readUInt32LE()) });
    // Groups have been deprecated since proto3, and nest without bound.
    else throw corrupt(`has a field of type ${type}`);
  }
  return fields;
}

/** @returns the bytes of a number of 64 bits, negative ones in two's complement */
function varint(value: number | bigint): Buffer {
  let rest = BigInt.asUintN(64, BigInt(value));
  const bytes: number[] = [];
  do {
    const byte = Number(rest & 0x7fn);
    rest >>= 7n;
    bytes.push(rest === 0n ? byte : byte | 0x80);
  } while (rest !== 0n);
  return Buffer.from(bytes);
}

/** @returns a message of fields; those that are undefined are left out */
export const message = (...fields: (Buffer | undefined)[]): Buffer =>
  Buffer.concat(fields.filter((field) => field !== undefined));

/** @returns undefined for 0 and false, which are never written */
export function number(field: number, value: number | bigint | boolean): Buffer | undefined {
  if (!value) return undefined;
  return Buffer.concat([varint(field * 8 + VARINT), varint(value === true ? 1 : value)]);
}

/** @param value a text, bytes, or a message; undefined where the field is not there. An empty one is written */
export function bytes(field: number, value: string | Uint8Array | undefined): Buffer | undefined {
  if (value === undefined) return undefined;
  const content = typeof value === 'string' ? Buffer.from(value) : value;
  return Buffer.concat([varint(field * 8 + BYTES), varint(content.length), content]);
}

/** @returns a text; undefined for an empty one */
export const text = (field: number, value: string | undefined): Buffer | undefined => bytes(field, value || undefined);

/** @returns `map<string, string>` or `map<string, bytes>` */
export const map = (field: number, entries: Iterable<readonly [string, string | Uint8Array]>): Buffer =>
  message(...Array.from(entries, ([key, value]) => bytes(field, message(bytes(1, key), bytes(2, value)))));

/** @returns a google.protobuf.Timestamp. @param ms since 1970 */
export function timestamp(field: number, ms: number | undefined): Buffer | undefined {
  if (ms === undefined) return undefined;
  const seconds = Math.floor(ms / 1000);
  return bytes(field, message(number(1, seconds), number(2, Math.floor((ms - seconds * 1000) * 1e6))));
}
