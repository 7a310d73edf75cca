/**
 * The per-user config file: JSON with Docker's daemon.json keys where they apply, and a few of husk's own.
 * An unknown key or a wrong type is refused with the file's path and the key, never ignored.
 */
import { readFileSync } from 'node:fs';
import { causeOf, HuskError } from './errors.ts';

export interface Config {
  'data-root'?: string;
  /** hosts spoken to over plain HTTP or unverified TLS: `host[:port]` */
  'insecure-registries'?: string[];
  /** base URLs tried before the public hub */
  'registry-mirrors'?: string[];
  dns?: string[];
  'dns-search'?: string[];
  'dns-opts'?: string[];
  'log-driver'?: string;
  'log-opts'?: Record<string, string>;
  'default-ulimits'?: Record<string, { Name: string; Soft: number; Hard: number }>;
  'default-isolation'?: 'auto' | 'vm' | 'userns';
  'default-network'?: string;
  init?: boolean;
  /** how many layers are fetched at once */
  'max-concurrent-downloads'?: number;
  /** bytes an uncompressed layer may have: the bound against decompression bombs */
  'max-layer-size'?: number;
}

type Shape = 'string' | 'strings' | 'number' | 'boolean' | 'object' | 'texts' | readonly string[];

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
  init: 'boolean',
  'max-concurrent-downloads': 'number',
  'max-layer-size': 'number',
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
    // own keys only: `toString` is no key of husk's
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
  // Docker refuses numbers here too: "max-file": "3"
  if (shape === 'texts')
    return fits(value, 'object') && Object.values(value as object).every((item) => typeof item === 'string');
  if (shape === 'object') return typeof value === 'object' && value !== null && !Array.isArray(value);
  if (shape === 'number') return Number.isSafeInteger(value) && (value as number) > 0;
  return typeof value === shape;
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
  }[shape];
}
