/**
 * Single values as Go's programs read them: booleans, integers and CPUs, with the error texts of Go's parsers. These
 * functions are pure.
 */

export function parseBool(text: string): boolean {
  if (['1', 't', 'T', 'TRUE', 'true', 'True'].includes(text)) return true;
  if (['0', 'f', 'F', 'FALSE', 'false', 'False'].includes(text)) return false;
  throw new Error(`strconv.ParseBool: parsing ${JSON.stringify(text)}: invalid syntax`);
}

/** Parses an integer as Go's ParseInt does with base 0: decimal, 0x, 0o, 0b and a leading 0 for octal. */
export function parseInteger(text: string): number {
  const match = /^([+-]?)(0[xX][0-9a-fA-F]+|0[oO][0-7]+|0[bB][01]+|0[0-7]*|[1-9][0-9]*)$/.exec(
    text.replace(/(?<=\d)_(?=\d)/g, ''),
  );
  if (!match) throw new Error(`strconv.ParseInt: parsing ${JSON.stringify(text)}: invalid syntax`);
  const digits = /^0[0-7]+$/.test(match[2]!) ? `0o${match[2]!.slice(1)}` : match[2]!;
  const value = BigInt(digits) * (match[1] === '-' ? -1n : 1n);
  if (value > 0x7fffffffffffffffn || value < -0x8000000000000000n)
    throw new Error(`strconv.ParseInt: parsing ${JSON.stringify(text)}: value out of range`);
  return Number(value);
}

export function parseUint16(text: string): number {
  if (!/^(0[xX][0-9a-fA-F]+|[0-9]+)$/.test(text))
    throw new Error(`strconv.ParseUint: parsing ${JSON.stringify(text)}: invalid syntax`);
  const value = Number(text);
  if (value > 0xffff) throw new Error(`strconv.ParseUint: parsing ${JSON.stringify(text)}: value out of range`);
  return value;
}

/** Parses `1.5`, `1/2`, `1e-1`. @returns CPUs, a multiple of 1e-9 */
export function parseCpus(text: string): number {
  const match = /^([+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d{1,3})?)(?:\/(\d+))?$/.exec(text);
  const value = match ? Number(match[1]) / Number(match[2] ?? 1) : Number.NaN;
  if (!Number.isFinite(value)) throw new Error(`failed to parse ${text} as a rational number`);
  const nano = value * 1e9;
  if (Math.abs(nano - Math.round(nano)) > 1e-6 * Math.max(1, Math.abs(value))) throw new Error('value is too precise');
  return Math.round(nano) / 1e9;
}
