/** What a search may be asked for: how many results, and which. The functions are pure. */
import { HuskError } from '../../errors.ts';
import { parseBool } from '../../notation/scalars.ts';
import type { FoundRepository } from '../store/contract.ts';

/** results where no number is asked for, and the most that Docker takes; moby registry/search.go */
export const DEFAULT_LIMIT = 25;
export const MAX_LIMIT = 100;

/** @throws HuskError `invalid` with Docker's texts */
export function searchFilter(filters: Record<string, string[]>): (result: FoundRepository) => boolean {
  const tests: ((result: FoundRepository) => boolean)[] = [];
  for (const [key, values] of Object.entries(filters)) {
    const wrong = (value: string): HuskError =>
      new HuskError(`invalid filter '${key}=[${value}]'`, { kind: 'invalid' });
    if (key === 'is-official' || key === 'is-automated') {
      const wanted = values.map((value) => {
        try {
          return parseBool(value);
        } catch {
          throw wrong(value);
        }
      });
      // Registries have stopped to say what is built automatically: nothing is.
      tests.push(({ official }) => wanted.includes(key === 'is-official' ? official : false));
    } else if (key === 'stars') {
      const least = values.map((value) => {
        if (!/^[+-]?\d{1,15}$/.test(value)) throw wrong(value);
        return Number(value);
      });
      tests.push(({ stars }) => stars >= Math.max(...least));
    } else throw new HuskError(`invalid filter '${key}'`, { kind: 'invalid', fix: 'use one of is-official, stars' });
  }
  return (result) => tests.every((test) => test(result));
}
