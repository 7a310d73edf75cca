/**
 * Reads the MessagePack that the forward protocol is made of: strings, maps, arrays, unsigned numbers and EventTime
 * (msgpack/spec.md).
 */
export function unpack(bytes: Buffer): unknown {
  let at = 0;
  const take = (length: number): Buffer => bytes.subarray(at, (at += length));
  const number = (length: number): number => take(length).readUIntBE(0, length);
  const list = (count: number): unknown[] => Array.from({ length: count }, value);
  const map = (count: number): object => Object.fromEntries(Array.from({ length: count }, () => [value(), value()]));
  function value(): unknown {
    const type = number(1);
    if (type < 0x80) return type;
    if (type < 0x90) return map(type & 15);
    if (type < 0xa0) return list(type & 15);
    if (type < 0xc0) return take(type & 31).toString();
    if (type === 0xd9) return take(number(1)).toString();
    if (type === 0xda) return take(number(2)).toString();
    if (type === 0xdb) return take(number(4)).toString();
    if (type === 0xce) return number(4);
    if (type === 0xde) return map(number(2));
    if (type === 0xd7 && number(1) === 0) return { seconds: number(4), nanoseconds: number(4) };
    throw new Error(`type ${type.toString(16)}`);
  }
  const read = value();
  if (at !== bytes.length) throw new Error(`${bytes.length - at} bytes too many`);
  return read;
}
