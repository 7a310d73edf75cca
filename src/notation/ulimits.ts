/** `--ulimit` as docker/go-units reads it. The engine decides which limits a process may have. The parser is pure. */
import { parseInteger } from './scalars.ts';

export interface Ulimit {
  name: string;
  /** soft limit; -1 stands for "unlimited" */
  soft: number;
  hard: number;
}

/** names of setrlimit(2) without RLIMIT_ */
export const ULIMIT_NAMES = [
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
] as const;
export type UlimitName = (typeof ULIMIT_NAMES)[number];

export function isUlimitName(text: string): text is UlimitName {
  return ULIMIT_NAMES.includes(text as UlimitName);
}

/** Parses `nofile=1024:2048`, `core=-1`. @throws Error */
export function parseUlimit(text: string): Ulimit {
  const equals = text.indexOf('=');
  if (equals === -1) throw new Error(`invalid ulimit argument: ${text}`);
  const name = text.slice(0, equals);
  if (!isUlimitName(name)) throw new Error(`invalid ulimit type: ${name}`);
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
