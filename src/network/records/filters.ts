/**
 * `--filter` of `network ls` and `network prune`: values of one key are or-ed, keys and labels are and-ed. Decides
 * only.
 */
import { HuskError } from '../../errors.ts';
import { goPattern } from '../../notation/go-pattern.ts';
import { hasLabel } from '../../notation/labels.ts';
import { parseMomentMs } from '../../notation/moments.ts';
import { parseBool } from '../../notation/scalars.ts';
import type { Network, NetworkFilters } from './contract.ts';
import { isPredefined } from './name.ts';

type Test = (network: Network) => boolean;

/** @throws HuskError `invalid` with Docker's text */
export function networkFilter(filters: NetworkFilters, isDangling: Test): Test {
  const tests = Object.entries(filters).map(([key, values]): Test => {
    switch (key) {
      case 'label':
        return ({ labels }) => values.every((value) => hasLabel(labels, value));
      case 'dangling': {
        const asked = values.map((value) => boolean(key, value));
        return (network) => asked.every((value) => value === (!isPredefined(network.name) && isDangling(network)));
      }
      case 'driver':
        return ({ driver }) => values.includes(driver);
      case 'scope':
        return () => values.includes('local');
      case 'type': {
        for (const value of values)
          if (value !== 'custom' && value !== 'builtin')
            throw new HuskError(`invalid filter: 'type'='${value}'`, { kind: 'invalid', fix: 'use custom or builtin' });
        return ({ name }) => values.includes(isPredefined(name) ? 'builtin' : 'custom');
      }
      case 'id':
      case 'name': {
        const patterns = values.map((value) => ({ value, matches: goPattern(value, `filter ${key}`) }));
        return (network) => patterns.some(({ value, matches }) => network[key] === value || matches(network[key]));
      }
      default:
        throw new HuskError(`invalid filter '${key}'`, { kind: 'invalid' });
    }
  });
  return (network) => tests.every((test) => test(network));
}

/** @throws HuskError `invalid` with Docker's text */
export function pruneFilter(filters: NetworkFilters, now: number = Date.now()): Test {
  const tests = Object.entries(filters).map(([key, values]): Test => {
    if (key === 'label') return ({ labels }) => values.every((value) => hasLabel(labels, value));
    if (key === 'label!') return ({ labels }) => values.every((value) => !hasLabel(labels, value));
    if (key !== 'until') throw new HuskError(`invalid filter '${key}'`, { kind: 'invalid' });
    const times = values.map((value) => parseMomentMs(value, now));
    return ({ createdAt }) => times.every((time) => createdAt < time);
  });
  return (network) => tests.every((test) => test(network));
}

function boolean(key: string, value: string): boolean {
  try {
    return parseBool(value);
  } catch {
    throw new HuskError(`invalid filter '${key}=${value}'`, { kind: 'invalid' });
  }
}
