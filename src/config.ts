/**
 * The per-user config file: JSON with Docker's daemon.json keys where they apply, and a few of husk's own.
 * An unknown key or a wrong type is refused with the file's path and the key, never ignored.
 */
import { readFileSync } from 'node:fs';
import { isIP } from 'node:net';
import { causeOf, HuskError } from './errors.ts';

export interface Config {
  'data-root'?: string;
  /** hosts that may be reached over plain HTTP or unverified TLS: `host[:port]` */
  'insecure-registries'?: string[];
  /** base URLs that are tried before the public hub */
  'registry-mirrors'?: string[];
  dns?: string[];
  'dns-search'?: string[];
  'dns-opts'?: string[];
  'log-driver'?: string;
  'log-opts'?: Record<string, string>;
  'default-ulimits'?: Record<string, { Name: string; Soft: number; Hard: number }>;
  'default-isolation'?: 'auto' | 'vm' | 'userns';
  'default-network'?: string;
  /** address of the default network's gateway, with its subnet: `192.168.5.1/24` */
  bip?: string;
  /** address pools from which networks without a subnet of their own get one */
  'default-address-pools'?: { base: string; size: number }[];
  /** bytes of a packet on the default network */
  mtu?: number;
  /** address of this host at which ports are published when `-p` names none */
  ip?: string;
  /** what `--add-host name:host-gateway` stands for @default the address by which this host leaves */
  'host-gateway-ip'?: string;
  init?: boolean;
  /** what becomes of a limit that cannot be enforced here @default refuse */
  'unenforceable-limits'?: 'refuse' | 'warn';
  /** whether a VM goes on from a template, where there is one (docs/vmm.md § Templates). @default template */
  'vm-start'?: 'boot' | 'template';
  /** how many layers are fetched at once */
  'max-concurrent-downloads'?: number;
  /** limit of bytes of an uncompressed layer, against decompression bombs */
  'max-layer-size'?: number;
  /** what stays of the build cache after a build */
  builder?: { gc?: BuilderGc };
}

/** As in daemon.json: sizes are texts such as 20GB, ages such as 48h; what they say is read where they are used. */
export interface BuilderGc {
  enabled?: boolean;
  defaultKeepStorage?: string;
  defaultReservedSpace?: string;
  defaultMaxUsedSpace?: string;
  defaultMinFreeSpace?: string;
  policy?: {
    all?: boolean;
    /** `unused-for=48h` */
    filter?: string[];
    keepDuration?: string;
    keepStorage?: string;
    reservedSpace?: string;
    maxUsedSpace?: string;
    minFreeSpace?: string;
  }[];
}

type Shape =
  | 'string'
  | 'strings'
  | 'number'
  | 'boolean'
  | 'object'
  | 'texts'
  | 'address'
  | 'pools'
  | 'builder'
  | readonly string[];

const SHAPES: Record<keyof Config, Shape> = {
  'data-root': 'string',
  'insecure-registries': 'strings',
  'registry-mirrors': 'strings',
  dns: 'strings',
  'dns-search': 'strings',
  'dns-opts': 'strings',
  'log-driver': 'string',
  'log-opts': 'texts',
  'default-ulimits': 'object',
  'default-isolation': ['auto', 'vm', 'userns'],
  'default-network': 'string',
  bip: 'string',
  'default-address-pools': 'pools',
  mtu: 'number',
  ip: 'address',
  'host-gateway-ip': 'address',
  init: 'boolean',
  'unenforceable-limits': ['refuse', 'warn'],
  'vm-start': ['boot', 'template'],
  'max-concurrent-downloads': 'number',
  'max-layer-size': 'number',
  builder: 'builder',
};

/** @throws HuskError `invalid` naming file and key; a missing file is an empty config */
export function readConfig(file: string): Config {
  let text: string;
  try {
    text = readFileSync(file, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return {};
    throw new HuskError(`cannot read the config ${file}: ${causeOf(error)}`, { kind: 'invalid', cause: error });
  }
  return parseConfig(text, file);
}

export function parseConfig(text: string, file: string): Config {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw new HuskError(`the config ${file} is not JSON: ${causeOf(error)}`, { kind: 'invalid', cause: error });
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw new HuskError(`the config ${file} is not a JSON object`, { kind: 'invalid' });
  for (const [key, item] of Object.entries(value)) {
    // Only own keys count: `toString` is not a key of the config.
    const shape = Object.hasOwn(SHAPES, key) ? SHAPES[key as keyof Config] : undefined;
    if (shape === undefined)
      throw new HuskError(`the config ${file} has an unknown key "${key}"`, {
        kind: 'invalid',
        fix: `known keys: ${Object.keys(SHAPES).join(', ')}`,
      });
    if (!fits(item, shape))
      throw new HuskError(`the config ${file}: "${key}" must be ${describe(shape)}, not ${JSON.stringify(item)}`, {
        kind: 'invalid',
      });
  }
  return value as Config;
}

function fits(value: unknown, shape: Shape): boolean {
  if (typeof shape !== 'string') return shape.includes(value as string);
  if (shape === 'strings') return Array.isArray(value) && value.every((item) => typeof item === 'string');
  // Docker refuses numbers here too: "max-file": "3".
  if (shape === 'texts')
    return fits(value, 'object') && Object.values(value as object).every((item) => typeof item === 'string');
  if (shape === 'address') return typeof value === 'string' && isIP(value) !== 0;
  if (shape === 'pools') return Array.isArray(value) && value.every(isPool);
  if (shape === 'builder') return hasOnly(value, { gc: isGc });
  if (shape === 'object') return typeof value === 'object' && value !== null && !Array.isArray(value);
  if (shape === 'number') return Number.isSafeInteger(value) && (value as number) > 0;
  return typeof value === shape;
}

/** @returns whether it is an object in which no key is unknown and each value fits */
function hasOnly(value: unknown, known: Record<string, (item: unknown) => boolean>): boolean {
  return (
    fits(value, 'object') &&
    Object.entries(value as object).every(([key, item]) => Object.hasOwn(known, key) && known[key]!(item))
  );
}

const shaped = (shape: Shape) => (item: unknown) => fits(item, shape);

const isGc = (value: unknown): boolean =>
  hasOnly(value, {
    enabled: shaped('boolean'),
    defaultKeepStorage: shaped('string'),
    defaultReservedSpace: shaped('string'),
    defaultMaxUsedSpace: shaped('string'),
    defaultMinFreeSpace: shaped('string'),
    policy: (list) => Array.isArray(list) && list.every(isPolicy),
  });

const isPolicy = (value: unknown): boolean =>
  hasOnly(value, {
    all: shaped('boolean'),
    filter: shaped('strings'),
    keepDuration: shaped('string'),
    keepStorage: shaped('string'),
    reservedSpace: shaped('string'),
    maxUsedSpace: shaped('string'),
    minFreeSpace: shaped('string'),
  });

function isPool(item: unknown): boolean {
  const { base, size, ...rest } = (typeof item === 'object' && item !== null ? item : {}) as Record<string, unknown>;
  return typeof base === 'string' && fits(size, 'number') && Object.keys(rest).length === 0;
}

function describe(shape: Shape): string {
  if (typeof shape !== 'string') return shape.map((item) => `"${item}"`).join(' or ');
  return {
    string: 'a string',
    strings: 'a list of strings',
    number: 'a whole number above 0',
    boolean: 'true or false',
    object: 'an object',
    texts: 'an object of strings',
    address: 'an IP address',
    builder: '{"gc": {"enabled": true, "defaultKeepStorage": "20GB"}} or with a policy, as in daemon.json',
    pools: 'a list of {"base": "10.100.0.0/16", "size": 24}',
  }[shape];
}
