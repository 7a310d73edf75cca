/** What is said when the disk refuses a layer that a build writes. */
import { HuskError, systemError } from '../../errors.ts';

const FULL = new Set(['ENOSPC', 'EDQUOT']);

/** @returns the error of a failed system call as one that a person can do something about; any other error as it is */
export function diskTrouble(error: unknown): unknown {
  const known = error instanceof HuskError ? undefined : systemError(error);
  if (known === undefined) return error;
  return new HuskError(`cannot write the layer: ${known.text}`, {
    kind: 'limit',
    cause: error,
    ...(FULL.has(known.code) && { fix: 'free some space, or move the data root' }),
  });
}
