/** The order in which Docker's client lists names: `net2` before `net10`. The function is pure. */

/**
 * Compares two names, for `sort`. Digits at the same place are compared as numbers, all other characters by their code;
 * source: fvbommel/sortorder.
 */
export function naturalOrder(one: string, other: string): number {
  let [left, right] = [0, 0];
  while (left < one.length && right < other.length) {
    const [a, b] = [digitsAt(one, left), digitsAt(other, right)];
    if (a !== '' && b !== '') {
      const [plainA, plainB] = [a.replace(/^0+/, ''), b.replace(/^0+/, '')];
      if (plainA.length !== plainB.length) return plainA.length - plainB.length;
      if (plainA !== plainB) return plainA < plainB ? -1 : 1;
      // Of equal numbers the one with fewer leading zeros comes first.
      if (a.length !== b.length) return a.length - b.length;
      [left, right] = [left + a.length, right + b.length];
    } else {
      if (one[left] !== other[right]) return one[left]! < other[right]! ? -1 : 1;
      [left, right] = [left + 1, right + 1];
    }
  }
  return one.length - left - (other.length - right);
}

function digitsAt(text: string, at: number): string {
  return /^\d*/.exec(text.slice(at))![0];
}
