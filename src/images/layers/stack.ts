/**
 * An image's layers as a stack: which of them count, and a name for exactly these in exactly this order. Both
 * isolations ask here,
 * so that they cannot disagree. Pure.
 */
import type { Layer } from '../store/contract.ts';

/**
 * Leaves out the lower ones of layers that occur several times, as the empty layer does in many images. Whatever the
 * lower occurrence
 * has, the upper one has too and puts it above all that lies between; overlayfs refuses the same folder twice (ELOOP).
 * @param layers bottom first, as is the result
 * @example distinctLayers([base, one, gone, one]) // [base, gone, one]
 */
export function distinctLayers<T extends Pick<Layer, 'diffId'>>(layers: readonly T[]): T[] {
  const last = new Map(layers.map(({ diffId }, index) => [diffId, index]));
  return layers.filter(({ diffId }, index) => last.get(diffId) === index);
}

/**
 * `parents-v1-<hex of the stack's key>` beside a stack's topmost layer, with which it goes: the folders that the stack
 * implies
 * (implied-parents.ts), or an empty file where overlayfs needs none of them.
 */
export const PARENTS = 'parents-v1-';

/**
 * SHA-256 over the diffIDs: what is made once for a stack is named by it. node:crypto is loaded on first use: it costs
 * 5 ms.
 */
export function stackKey(layers: readonly Pick<Layer, 'diffId'>[]): Buffer {
  return process
    .getBuiltinModule('node:crypto')
    .createHash('sha256')
    .update(layers.map(({ diffId }) => diffId).join('\n'))
    .digest();
}
