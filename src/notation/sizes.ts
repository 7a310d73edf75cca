/**
 * Sizes as docker/go-units reads and writes them: memory counts in 1024s (RAMInBytes), log files in 1000s
 * (FromHumanSize), and what a person is shown in 1000s (HumanSize). The functions are pure.
 */

const PREFIXES = ['', 'k', 'm', 'g', 't', 'p'];

/**
 * Parses `32`, `32k`, `1.5 GB`, `64MiB`. The spelling of a unit does not decide between 1000 and 1024; `step` does.
 * @param step factor between one prefix and the next: 1024 or 1000
 * @returns bytes; undefined for a text that is no size, or a size beyond what a number holds
 */
export function readSize(text: string, step: 1000 | 1024): number | undefined {
  const match = /^(\d+(?:\.\d+)?) ?([kmgtp]?)(?:i?b)?$/i.exec(text);
  if (!match) return undefined;
  const bytes = Math.trunc(Number(match[1]) * step ** PREFIXES.indexOf(match[2]!.toLowerCase()));
  return Number.isSafeInteger(bytes) ? bytes : undefined;
}

/**
 * Parses a size in 1024s. @returns bytes
 * @throws Error
 */
export function parseBytes(text: string): number {
  const bytes = readSize(text, 1024);
  if (bytes === undefined) throw new Error(`invalid size: '${text}'`);
  return bytes;
}

const DECIMAL = ['B', 'kB', 'MB', 'GB', 'TB', 'PB', 'EB'];

/** @returns a size such as `4.26MB`: powers of 1000, at most `digits` significant digits (Go's %.4g) */
export function humanSize(bytes: number, digits = 4): string {
  let value = bytes;
  let unit = 0;
  while (value >= 1000 && unit < DECIMAL.length - 1) {
    value /= 1000;
    unit++;
  }
  return `${Number(value.toPrecision(digits))}${DECIMAL[unit]}`;
}
