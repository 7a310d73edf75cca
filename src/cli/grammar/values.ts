/**
 * The typed values of flags, with the error texts of Go's parsers that Docker prints. Pure: text in, value out.
 */
import type { Flag, FlagType } from '../command.ts';
import { parseMount } from './mounts.ts';
import { parseBool, parseBytes, parseCpus, parseDuration, parseInteger, parseUint16 } from './scalars.ts';

export type FlagValue = boolean | string | number | readonly unknown[];

/** What a flag that is neither typed nor defaulted has. */
export const EMPTY_VALUES: Partial<Record<FlagType, FlagValue>> = {
  bool: false,
  list: [],
  map: [],
  ulimit: [],
  mount: [],
  network: [],
  filter: [],
};

/** @throws Error with the cause as Docker words it */
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
    case 'map':
    case 'network':
      return append(text);
    case 'ulimit':
      return append(parseUlimit(text));
    case 'mount':
      return append(parseMount(text));
    case 'filter':
      return append(parseFilter(text));
  }
}

/** `NAME` alone takes the value husk itself has, if it has one. */
export function passThrough(text: string, env: NodeJS.ProcessEnv): string {
  if (text.includes('=')) return text;
  const value = env[text];
  return value === undefined ? text : `${text}=${value}`;
}

export interface Ulimit {
  name: string;
  /** -1 is "unlimited" */
  soft: number;
  hard: number;
}

/** Names of setrlimit(2) without RLIMIT_. */
const ULIMITS = new Set([
  'core',
  'cpu',
  'data',
  'fsize',
  'locks',
  'memlock',
  'msgqueue',
  'nice',
  'nofile',
  'nproc',
  'rss',
  'rtprio',
  'rttime',
  'sigpending',
  'stack',
]);

/** `nofile=1024:2048`, `core=-1` */
export function parseUlimit(text: string): Ulimit {
  const equals = text.indexOf('=');
  if (equals === -1) throw new Error(`invalid ulimit argument: ${text}`);
  const name = text.slice(0, equals);
  if (!ULIMITS.has(name)) throw new Error(`invalid ulimit type: ${name}`);
  const values = text.slice(equals + 1);
  const parts = values.split(':');
  if (parts.length > 2)
    throw new Error(`too many limit value arguments - ${values}, can only have up to two, \`soft[:hard]\``);
  const soft = parseInteger(parts[0]!);
  const hard = parts[1] === undefined ? soft : parseInteger(parts[1]);
  if (hard !== -1 && (soft === -1 || soft > hard))
    throw new Error(`ulimit soft limit must be less than or equal to hard limit: ${soft} > ${hard}`);
  return { name, soft, hard };
}

/** `key=value` of `--filter` */
export function parseFilter(text: string): [key: string, value: string] {
  const equals = text.indexOf('=');
  if (equals === -1) throw new Error('bad format of filter (expected name=value)');
  return [text.slice(0, equals).trim().toLowerCase(), text.slice(equals + 1).trim()];
}

/** @returns filters with the values of one key together */
export function collectFilters(pairs: readonly [string, string][]): Record<string, string[]> {
  const filters: Record<string, string[]> = Object.create(null) as Record<string, string[]>;
  for (const [key, value] of pairs) (filters[key] ??= []).push(value);
  return filters;
}

/** `a=b`, `a` (empty value): Docker's label and map flags. A later one wins. */
export function toMap(pairs: readonly string[]): Record<string, string> {
  const map: Record<string, string> = {};
  for (const pair of pairs) {
    const equals = pair.indexOf('=');
    // a label named __proto__ is a label, not an object's parent
    Object.defineProperty(map, equals === -1 ? pair : pair.slice(0, equals), {
      value: equals === -1 ? '' : pair.slice(equals + 1),
      enumerable: true,
      configurable: true,
      writable: true,
    });
  }
  return map;
}
