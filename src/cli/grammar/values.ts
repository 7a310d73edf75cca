/** The typed values of flags, with the error texts of Go's parsers that Docker prints. The parsers are pure. */
import type { Flag, FlagType } from './flag.ts';
import { parseMount } from './mounts.ts';
import { parseDuration } from '../../notation/durations.ts';
import { parseFilter } from '../../notation/filters.ts';
import { parseNetworkAttachment } from '../../notation/network-attachment.ts';
import { parseCsvRecord } from '../../notation/quoting.ts';
import { parseUlimit } from '../../notation/ulimits.ts';
import { parseBool, parseCpus, parseInteger, parseUint16 } from '../../notation/scalars.ts';
import { parseBytes } from '../../notation/sizes.ts';

export type FlagValue = boolean | string | number | readonly unknown[];

/** values of flags that are neither typed nor have a default */
export const EMPTY_VALUES: Partial<Record<FlagType, FlagValue>> = {
  bool: false,
  list: [],
  strings: [],
  map: [],
  ulimit: [],
  mount: [],
  network: [],
  filter: [],
};

/** @throws Error with the cause in Docker's words */
export function parseFlagValue(
  flag: Flag,
  text: string,
  previous: FlagValue | undefined,
  env: NodeJS.ProcessEnv,
): FlagValue {
  flag.validate?.(text);
  const append = (item: unknown): FlagValue => [...((previous as readonly unknown[] | undefined) ?? []), item];
  switch (flag.type) {
    case 'bool':
      return parseBool(text);
    case 'string':
      return text;
    case 'int':
      return parseInteger(text);
    case 'uint16':
      return parseUint16(text);
    case 'duration':
      return parseDuration(text);
    case 'bytes':
      return parseBytes(text);
    case 'memory-swap':
      return text === '-1' ? -1 : parseBytes(text);
    case 'decimal':
      return parseCpus(text);
    case 'list':
      return append(flag.name === 'env' ? passThrough(text, env) : text);
    case 'strings':
      return [...((previous as readonly string[] | undefined) ?? []), ...commaSeparated(text)];
    case 'map':
      return append(text);
    case 'network':
      return append(parseNetworkAttachment(text));
    case 'ulimit':
      return append(parseUlimit(text));
    case 'mount':
      return append(parseMount(text));
    case 'filter':
      return append(parseFilter(text));
  }
}

/** Splits one CSV record as Go's pflag does for a StringSlice; an empty text has none. */
function commaSeparated(text: string): string[] {
  return text === '' ? [] : parseCsvRecord(text);
}

/** Completes a bare `NAME` with the value from husk's own environment, if there is one. */
function passThrough(text: string, env: NodeJS.ProcessEnv): string {
  if (text.includes('=')) return text;
  const value = env[text];
  return value === undefined ? text : `${text}=${value}`;
}
