/** The part of `system check` that looks for what forks have left that were killed. */
import type { Paths } from '../../paths.ts';
import { savedLeft, sweepSaved } from '../fork/saved.ts';
import type { Problem } from './problem.ts';

export function* checkSaved(paths: Pick<Paths, 'saved' | 'containers' | 'container'>): Generator<Problem> {
  for (const { id, size } of savedLeft(paths))
    yield {
      kind: 'saved',
      name: id,
      problem: `a fork of it was ended on the way, and left ${size} bytes of its machine`,
      repair: { what: 'removed', run: () => void sweepSaved(paths, { isThere: () => true }) },
    };
}
