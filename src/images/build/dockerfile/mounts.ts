/**
 * The grammar of `RUN --mount`: fields between commas, as CSV. Unknown types and keys are refused, so that no misspelt
 * `readonly` gives write access (CVE-2024-9407). Pure.
 *
 * Source: the Dockerfile reference § RUN --mount; error texts are BuildKit's.
 */
import { HuskError } from '../../../errors.ts';
import { goQuote, parseCsvRecord } from '../../../notation/quoting.ts';
import { parseBool } from '../../../notation/scalars.ts';
import { readSize } from '../../../notation/sizes.ts';
import { meant } from './flags.ts';
import type { RunMount } from '../operations.ts';

/** A mount as it is written, its variables expanded; paths and origins are yet to be resolved. */
export interface WrittenMount {
  type: RunMount['type'];
  from: string;
  source: string;
  target: string;
  readOnly?: boolean;
  id: string;
  sharing?: RunMount['sharing'];
  size?: number;
  required?: boolean;
  env?: string;
  mode?: number;
  uid?: number;
  gid?: number;
}

const TYPES = ['bind', 'cache', 'tmpfs', 'secret', 'ssh'] as const;
const SHARING = ['shared', 'private', 'locked'] as const;
const KEYS =
  'type from source src target dst destination readonly ro readwrite rw required size id sharing mode uid gid env';
/** exclusive end of uids, gids: uint32 */
const IDS = 2 ** 32;
const MAX_MODE = 0o7777;

const invalid = (message: string) => new HuskError(message, { kind: 'invalid' });

/** Checks what can be seen before variables have values. @throws HuskError `invalid` */
export function checkMount(text: string): void {
  for (const field of fieldsOf(text)) {
    const [key, value] = cut(field);
    if (key === 'from' && /\$./.test(value ?? ''))
      throw invalid(`'from' doesn't support variable expansion, define alias stage instead`);
  }
}

/** @returns the name that a mount reads from; it has no variables */
export function originsOf(text: string): string[] {
  return fieldsOf(text).flatMap((field) => {
    const [key, value] = cut(field);
    return key === 'from' && value ? [value] : [];
  });
}

/** @throws HuskError `invalid` */
export function readMount(text: string, expand: (word: string) => string): WrittenMount {
  const mount: WrittenMount = { type: 'bind', from: '', source: '', target: '', id: '' };
  for (const field of fieldsOf(text)) {
    const [key, written] = cut(field);
    const read = Object.hasOwn(FIELDS, key) ? FIELDS[key] : undefined;
    if (written === undefined && (!read || !BARE.has(key)))
      throw invalid(`invalid field '${field}' must be a key=value pair`);
    if (!read) throw invalid(`unexpected key '${key}' in '${field}'${meant(key, KEYS.split(' '))}`);
    read(mount, written === undefined ? 'true' : expand(written), key);
  }
  check(mount);
  return mount;
}

/** keys that may stand without a value */
const BARE = new Set(['readonly', 'ro', 'readwrite', 'rw', 'required']);

type Read = (mount: WrittenMount, value: string, key: string) => void;

const readOnly: Read = (mount, value, key) => (mount.readOnly = boolean(value, key));
const writable: Read = (mount, value, key) => (mount.readOnly = !boolean(value, key));
const source: Read = (mount, value) => (mount.source = value);
const target: Read = (mount, value) => (mount.target = value);

const FIELDS: Readonly<Record<string, Read>> = {
  type(mount, value) {
    const type = TYPES.find((known) => known === value.toLowerCase());
    if (!type) throw invalid(`unsupported mount type ${goQuote(value)}${meant(value, TYPES)}`);
    mount.type = type;
  },
  from: (mount, value) => (mount.from = value),
  source,
  src: source,
  target,
  dst: target,
  destination: target,
  readonly: readOnly,
  ro: readOnly,
  readwrite: writable,
  rw: writable,
  required(mount, value, key) {
    if (mount.type !== 'secret' && mount.type !== 'ssh') throw wrongType(key, mount);
    mount.required = boolean(value, key);
  },
  size(mount, value, key) {
    if (mount.type !== 'tmpfs') throw wrongType(key, mount);
    mount.size = readSize(value, 1024);
    if (mount.size === undefined) throw invalid(`invalid value for ${key}: ${value}`);
  },
  id: (mount, value) => (mount.id = value),
  sharing(mount, value) {
    const mode = SHARING.find((known) => known === value.toLowerCase());
    if (!mode) throw invalid(`unsupported sharing value ${goQuote(value)}${meant(value, SHARING)}`);
    mount.sharing = mode;
  },
  mode(mount, value) {
    if (!/^[0-7]{1,6}$/.test(value) || Number.parseInt(value, 8) > MAX_MODE)
      throw invalid(`invalid value ${value} for mode`);
    mount.mode = Number.parseInt(value, 8);
  },
  uid: (mount, value) => (mount.uid = idOf(value, 'uid')),
  gid: (mount, value) => (mount.gid = idOf(value, 'gid')),
  env(mount, value, key) {
    if (mount.type !== 'secret') throw wrongType(key, mount);
    if (!/^[A-Za-z_][A-Za-z0-9_]*$/.test(value)) throw invalid(`invalid value ${value} for env`);
    mount.env = value;
  },
};

const wrongType = (key: string, { type }: WrittenMount) => invalid(`unexpected key '${key}' for mount type '${type}'`);

function boolean(value: string, key: string): boolean {
  try {
    return parseBool(value);
  } catch {
    throw invalid(`invalid value for ${key}: ${value}`);
  }
}

function idOf(value: string, key: string): number {
  if (!/^\d{1,10}$/.test(value) || Number(value) >= IDS) throw invalid(`invalid value ${value} for ${key}`);
  return Number(value);
}

/** Refuses what does not belong together. */
function check(mount: WrittenMount): void {
  const { type, from, sharing } = mount;
  const hasOwner = type === 'secret' || type === 'ssh' || type === 'cache';
  for (const key of ['mode', 'uid', 'gid'] as const)
    if (!hasOwner && mount[key] !== undefined) throw invalid(`${key} not allowed for ${goQuote(type)} type mounts`);
  if (type === 'secret') {
    if (from !== '') throw invalid('secret mount should not have a from');
    if (sharing !== undefined) throw invalid('secret mount should not define sharing');
    if (mount.source === '' && mount.target === '' && mount.id === '')
      throw invalid('invalid secret mount. one of source, target required');
    if (mount.source !== '' && mount.id !== '') throw invalid("both source and id can't be set");
  }
  if (sharing !== undefined && type !== 'cache') throw invalid(`invalid cache sharing set for ${type} mount`);
}

/** Splits `key=value`; the key in lower case. */
function cut(field: string): [key: string, value: string | undefined] {
  const equals = field.indexOf('=');
  return equals === -1
    ? [field.toLowerCase(), undefined]
    : [field.slice(0, equals).toLowerCase(), field.slice(equals + 1)];
}

function fieldsOf(text: string): string[] {
  try {
    return parseCsvRecord(text);
  } catch (error) {
    throw invalid(`failed to parse csv mounts: ${(error as Error).message}`);
  }
}
