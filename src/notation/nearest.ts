/** Finds the word that was perhaps meant, by edit distance: for commands, flags, instructions. Pure. */

/** characters of the longest word that is compared; what was typed has no bound of its own */
const MAX_WORD = 64;

/** @returns the nearest of `words`, if it is near enough to be a typing mistake */
export function nearest(typed: string, words: readonly string[]): string | undefined {
  if (typed.length > MAX_WORD || typed === '') return undefined;
  let best: string | undefined;
  // A short word may have one mistake, a long one two.
  let bestDistance = typed.length <= 4 ? 2 : 3;
  for (const word of words) {
    const distance = word.startsWith(typed) && typed.length >= 3 ? 1 : editDistance(typed, word);
    if (distance < bestDistance) {
      best = word;
      bestDistance = distance;
    }
  }
  return best;
}

/** @returns Damerau's distance with adjacent swaps (`rnu` → `run` is one mistake) */
export function editDistance(a: string, b: string): number {
  let beforePrevious: number[] = [];
  let previous = Array.from({ length: b.length + 1 }, (_, index) => index);
  for (let i = 1; i <= a.length; i++) {
    const row = [i];
    for (let j = 1; j <= b.length; j++) {
      const cost = a[i - 1] === b[j - 1] ? 0 : 1;
      let distance = Math.min(previous[j]! + 1, row[j - 1]! + 1, previous[j - 1]! + cost);
      if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1])
        distance = Math.min(distance, beforePrevious[j - 2]! + 1);
      row.push(distance);
    }
    beforePrevious = previous;
    previous = row;
  }
  return previous[b.length]!;
}
