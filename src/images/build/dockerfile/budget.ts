/**
 * What expanding variables may cost. Each line `ENV a=$a$a` doubles a value, so a file of forty lines would ask for a
 * terabyte; and a pattern of `${a//p/r}` is compared at every place of its value. Both are counted here.
 */
import { HuskError } from '../../../errors.ts';

/**
 * characters that the variables of one text may add to it; the kernel takes 128 KiB for one of them
 * (MAX_ARG_STRLEN)
 */
const MAX_GROWTH = 1 << 20;
/** characters that all expansions of a file may make, and comparisons that its patterns may need */
const MAX_TOTAL = 1 << 26;

export class ExpansionBudget {
  #left = MAX_TOTAL;

  /** Pays for work. @throws HuskError `limit` */
  spend(amount: number): void {
    this.#left -= amount;
    if (this.#left < 0)
      throw new HuskError(`the variables of this file expand to more than ${MAX_TOTAL} characters`, {
        kind: 'limit',
        fix: 'look for an ENV or ARG that repeats itself',
      });
  }

  /** Pays for the text that the variables of one word have made so far. */
  grow(added: number, soFar: number): void {
    this.spend(added);
    if (soFar > MAX_GROWTH)
      throw new HuskError(`the variables of this word expand to more than ${MAX_GROWTH} characters`, {
        kind: 'limit',
        fix: 'look for an ENV or ARG that repeats itself',
      });
  }
}
