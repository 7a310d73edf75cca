/**
 * An image's layers as a stack: which of them count, and a name for exactly these in exactly this order. Both
 * isolations use these functions, so that they cannot disagree. The functions are pure.
 */
import { sha256 } from '@noble/hashes/sha2.js';
import type { Layer } from '../store/contract.ts';

/**
 * Leaves out the lower occurrences of layers that occur several times, as the empty layer does in many images. Whatever
 * the lower occurrence has, the upper one has too, and puts it above everything between them; overlayfs refuses the
 * same folder twice (ELOOP).
 * @param layers bottom first, as is the result
 * @example distinctLayers([base, one, gone, one]) // [base, gone, one]
 */
export function distinctLayers<T extends Pick<Layer, 'diffId'>>(layers: readonly T[]): T[] {
  const last = new Map(layers.map(({ diffId }, index) => [diffId, index]));
  return layers.filter(({ diffId }, index) => last.get(diffId) === index);
}

/**
 * Prefix of `parents-v1-<hex of the stack's key>`, which lies beside a stack's topmost layer and is deleted with it:
 * the folders that the stack implies (implied-parents.ts), or an empty file where overlayfs needs none of them.
 */
export const PARENTS = 'parents-v1-';

/**
 * @returns SHA-256 over the diffIDs; it names what is made once for a stack. The hash is not node:crypto's, because
 * loading that takes 8 ms of CPU at each start of a container, and 0.8 MB of its supervisor for as long as it lives.
 */
export function stackKey(layers: readonly Pick<Layer, 'diffId'>[]): Buffer {
  return Buffer.from(sha256(Buffer.from(layers.map(({ diffId }) => diffId).join('\n'))));
}
