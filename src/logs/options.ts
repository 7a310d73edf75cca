/**
 * `--log-driver` and `--log-opt`: which drivers and options exist, which values they allow, and what these mean, in
 * Docker's words where it has some (moby daemon/logger: each driver's ValidateLogOpt). This module only decides.
 */
import { HuskError } from '../errors.ts';
import { FLUENTD_KEYS, fluentdSettings } from './fluentd.ts';
import { SYSLOG_KEYS, syslogSettings } from './syslog.ts';
import { goPattern } from '../notation/go-pattern.ts';
import { parseBool } from '../notation/scalars.ts';
import { readSize } from '../notation/sizes.ts';
import type { LogRequest } from './request.ts';

const DRIVERS = ['json-file', 'local', 'journald', 'syslog', 'fluentd', 'none'] as const;
type Driver = (typeof DRIVERS)[number];

export interface LogSettings {
  driver: Driver;
  /** limit of bytes of one file */
  maxSize: number;
  maxFile: number;
  /** whether rotated files are compressed with gzip */
  compress: boolean;
  /** bytes that may wait before output is dropped; undefined: the container waits instead (`mode=blocking`) */
  dropAbove: number | undefined;
  /** Whether a copy of a log that is sent away is kept on this host, so that `logs` can read it, as in Docker. */
  cache?: boolean;
}

/** @returns whether a driver keeps nothing on this host itself */
export const isSentAway = (driver: string): boolean => driver === 'syslog' || driver === 'fluentd';

const COMMON = ['mode', 'max-buffer-size'];
const ATTRIBUTES = ['labels', 'labels-regex', 'env', 'env-regex', 'tag'];
const FILES = ['max-size', 'max-file', 'compress'];
const KNOWN: Record<Driver, { keys: string[]; unknown: (key: string) => string }> = {
  'json-file': {
    keys: [...COMMON, ...ATTRIBUTES, ...FILES],
    unknown: (key) => `unknown log opt '${key}' for json-file log driver`,
  },
  local: {
    keys: [...COMMON, ...ATTRIBUTES, ...FILES],
    unknown: (key) => `unknown log opt '${key}' for log driver local`,
  },
  journald: { keys: [...COMMON, ...ATTRIBUTES], unknown: (key) => `unknown log opt '${key}' for journald log driver` },
  syslog: {
    keys: [...COMMON, ...ATTRIBUTES, ...SYSLOG_KEYS, 'cache-disabled'],
    unknown: (key) => `unknown log opt '${key}' for syslog log driver`,
  },
  fluentd: {
    keys: [...COMMON, ...ATTRIBUTES, ...FLUENTD_KEYS, 'cache-disabled'],
    unknown: (key) => `unknown log opt '${key}' for fluentd log driver`,
  },
  none: { keys: [], unknown: String },
};

/** defaults of moby daemon/logger/local/local.go: 20 MiB, five files, compressed */
const LOCAL = { maxSize: 20 * 2 ** 20, maxFile: 5, compress: true };
const JSON_FILE = { maxSize: Number.POSITIVE_INFINITY, maxFile: 1, compress: false };
/** bytes, defaultRingMaxSize of moby daemon/logger/ring.go */
const BUFFER = 1e6;

/** @throws HuskError `invalid` on an unknown driver, option or value */
export function logSettings({ driver: name, options }: LogRequest): LogSettings {
  if (!DRIVERS.includes(name as Driver))
    throw new HuskError(`logger: no log driver named '${name}' is registered`, {
      kind: 'invalid',
      exitCode: 125,
      fix: `husk has ${DRIVERS.join(', ')}`,
    });
  const driver = name as Driver;
  const defaults = driver === 'local' ? LOCAL : JSON_FILE;
  // Docker checks no option of a log that is not kept.
  if (driver === 'none') return { driver, ...defaults, dropAbove: undefined };
  for (const key of Object.keys(options))
    if (!KNOWN[driver].keys.includes(key)) throw invalid(KNOWN[driver].unknown(key));
  const dropAbove = bufferSize(options);
  if (driver === 'syslog') syslogSettings(options);
  if (driver === 'fluentd') fluentdSettings(options);
  const cache =
    isSentAway(driver) &&
    !(options['cache-disabled'] !== undefined && parseBoolean(options['cache-disabled'], 'cache-disabled'));
  if (isSentAway(driver)) return { driver, ...LOCAL, dropAbove, cache };
  for (const key of ['labels-regex', 'env-regex']) if (options[key] !== undefined) void goPattern(options[key], key);
  const maxSize = options['max-size'] === undefined ? defaults.maxSize : parseSize(options['max-size']);
  const maxFile = options['max-file'] === undefined ? defaults.maxFile : Number(options['max-file']);
  if (!Number.isSafeInteger(maxFile) || options['max-file'] === '')
    throw invalid(`invalid value for max-file: ${options['max-file']}`);
  if (maxFile < 1) throw invalid('max-file cannot be less than 1');
  const compress = options['compress'] === undefined ? defaults.compress : parseBoolean(options['compress']);
  if (compress && driver === 'local' && maxFile === 1)
    throw invalid('compression cannot be enabled when max file count is 1', 'add --log-opt compress=false');
  if (compress && (maxFile === 1 || maxSize === Number.POSITIVE_INFINITY))
    throw invalid('compress cannot be true when max-file is less than 2 or max-size is not set');
  return { driver, maxSize, maxFile, compress, dropAbove };
}

function bufferSize(options: Record<string, string>): number | undefined {
  const { mode = 'blocking', 'max-buffer-size': size } = options;
  if (mode !== 'blocking' && mode !== 'non-blocking' && mode !== '')
    throw invalid(`logger: logging mode not supported: ${mode}`);
  if (size !== undefined && mode !== 'non-blocking')
    throw invalid("logger: max-buffer-size option is only supported with 'mode=non-blocking'");
  if (mode !== 'non-blocking') return undefined;
  return size === undefined ? BUFFER : parseSize(size, { unit: 1024, key: 'max-buffer-size' });
}

/**
 * Parses a size in bytes. Docker counts the sizes of files in thousands (FromHumanSize), and those of memory in 1024s
 * (RAMInBytes).
 */
function parseSize(text: string, { unit = 1000, key = 'max-size' }: { unit?: 1000 | 1024; key?: string } = {}): number {
  if (key === 'max-size' && text === '-1') return Number.POSITIVE_INFINITY;
  const bytes = readSize(text, unit);
  if (bytes === undefined) throw invalid(`invalid ${key} "${text}"`, 'a number with k, m or g, e.g. 10m');
  if (bytes <= 0) throw invalid(`${key} must be a positive number`);
  return bytes;
}

function parseBoolean(text: string, key = 'compress'): boolean {
  try {
    return parseBool(text);
  } catch {
    throw invalid(`invalid value for ${key}: "${text}" is neither true nor false`);
  }
}

function invalid(message: string, fix?: string): HuskError {
  return new HuskError(message, { kind: 'invalid', exitCode: 125, fix });
}
