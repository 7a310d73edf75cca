/**
 * How much of the build cache may stay: by flags of `builder prune`, and after each build by `builder.gc` of the
 * config, with the words of Docker's daemon.json. Pure.
 */
import type { BuilderGc, Config } from '../../config.ts';
import { HuskError } from '../../errors.ts';
import { parseDuration } from '../../notation/durations.ts';
import { readSize } from '../../notation/sizes.ts';
import type { CacheLimits } from '../store/contract.ts';

/** Without a word in the config: a tenth of the disk, as Docker, and never less than this many bytes. */
const DEFAULT_SHARE = 0.1;
const LEAST_DEFAULT = 2e9;
/** of a ms */
const NANOSECONDS = 1e6;

export interface DiskFacts {
  /** bytes of the file system that the data root is on */
  total: number;
  /** bytes of it that this user may still fill */
  free: number;
}

/** @returns whether any limit is given; without one a prune takes all that its filters let it */
export const isLimited = ({ reserved, maxUsed, minFree }: CacheLimits): boolean =>
  (reserved ?? 0) > 0 || (maxUsed ?? 0) > 0 || (minFree ?? 0) > 0;

/**
 * @param used bytes that the cache takes now
 * @returns bytes that may stay
 */
export function bytesToKeep(used: number, { free }: Pick<DiskFacts, 'free'>, limits: CacheLimits): number {
  if (!isLimited(limits)) return 0;
  const { reserved = 0, maxUsed = 0, minFree = 0 } = limits;
  const bounds = [
    ...(maxUsed > 0 ? [maxUsed] : []),
    ...(minFree > 0 ? [minFree > free ? used - (minFree - free) : Number.POSITIVE_INFINITY] : []),
  ];
  return Math.max(reserved, bounds.length === 0 ? 0 : Math.min(...bounds));
}

/** What is done after a build: rows that were used before `usedBefore` go, as long as more is there than may stay. */
export interface CacheRule {
  limits: CacheLimits;
  /** ms that a row must have been without use */
  unusedFor: number;
  /** whether rows go whose layers images have too */
  all: boolean;
}

/** @throws HuskError `invalid` naming the key */
export function cacheRules({ builder }: Pick<Config, 'builder'>, disk: DiskFacts): CacheRule[] {
  const { enabled = true, policy, ...defaults } = builder?.gc ?? {};
  if (!enabled) return [];
  if (policy) return policy.map((rule) => ruleOf(rule));
  const limits = {
    ...size(defaults, 'reserved', ['defaultReservedSpace', 'defaultKeepStorage']),
    ...size(defaults, 'maxUsed', ['defaultMaxUsedSpace']),
    ...size(defaults, 'minFree', ['defaultMinFreeSpace']),
  };
  const maxUsed = Math.max(LEAST_DEFAULT, Math.trunc(disk.total * DEFAULT_SHARE));
  return [{ limits: isLimited(limits) ? limits : { maxUsed }, unusedFor: 0, all: false }];
}

function ruleOf(rule: NonNullable<BuilderGc['policy']>[number]): CacheRule {
  const { filter = [], keepDuration, all = false } = rule;
  const ages = [
    ...(keepDuration === undefined ? [] : [keepDuration]),
    ...filter.map((text) => /^(?:unused-for|until)=(.*)$/.exec(text)?.[1] ?? refuse('filter', text)),
  ].map(age);
  return {
    limits: {
      ...size(rule, 'reserved', ['reservedSpace', 'keepStorage']),
      ...size(rule, 'maxUsed', ['maxUsedSpace']),
      ...size(rule, 'minFree', ['minFreeSpace']),
    },
    unusedFor: Math.max(0, ...ages),
    all,
  };
}

/** @returns ms */
function age(text: string): number {
  try {
    return parseDuration(text) / NANOSECONDS;
  } catch {
    return refuse('an age', text);
  }
}

function size<Key extends string>(
  settings: Partial<Record<Key, string>>,
  limit: keyof CacheLimits,
  keys: readonly Key[],
): CacheLimits {
  const key = keys.find((each) => settings[each] !== undefined);
  if (key === undefined) return {};
  const text = settings[key]!;
  return { [limit]: readSize(text, 1024) ?? refuse(key, text) };
}

function refuse(key: string, text: string): never {
  throw new HuskError(`builder.gc of the config: ${key}: ${JSON.stringify(text)} cannot be read`, {
    kind: 'invalid',
    fix: 'sizes are as 20GB, ages as 48h; a filter is unused-for=AGE',
  });
}
