/**
 * Checks that a layer's tar is there and as long as its record says, before a start uses the layer. The digest is
 * checked by `system check` only.
 */
import { statSync } from 'node:fs';
import { HuskError } from '../../errors.ts';
import type { Layer } from '../store/contract.ts';

/** @throws HuskError `corrupt` naming the layer */
export function assertWhole({ diffId, tar, size }: Layer): void {
  const found = statSync(tar, { throwIfNoEntry: false })?.size;
  if (found === size) return;
  throw new HuskError(
    `the layer ${diffId} is damaged: ${tar} ${found === undefined ? 'is missing' : `has ${found} of ${size} bytes`}`,
    { kind: 'corrupt', fix: 'husk system check --repair, then pull its image again' },
  );
}
