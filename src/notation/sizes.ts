/**
 * Sizes as docker/go-units reads them: memory counts in 1024s (RAMInBytes), files of logs in 1000s (FromHumanSize).
 * Pure.
 */

const PREFIXES = ['', 'k', 'm', 'g', 't', 'p'];

/**
 * Reads `32`, `32k`, `1.5 GB`, `64MiB`. How a unit is spelled does not say what it counts in: `step` does.
 * @param step what one prefix is over the one before it: 1024 or 1000
 * @returns bytes; undefined for what is no size, or one beyond what a number holds
 */
export function readSize(text: string, step: 1000 | 1024): number | undefined {
  const match = /^(\d+(?:\.\d+)?) ?([kmgtp]?)(?:i?b)?$/i.exec(text);
  if (!match) return undefined;
  const bytes = Math.trunc(Number(match[1]) * step ** PREFIXES.indexOf(match[2]!.toLowerCase()));
  return Number.isSafeInteger(bytes) ? bytes : undefined;
}

/** @returns bytes, counted in 1024s. @throws Error */
export function parseBytes(text: string): number {
  const bytes = readSize(text, 1024);
  if (bytes === undefined) throw new Error(`invalid size: '${text}'`);
  return bytes;
}
