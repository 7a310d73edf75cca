/**
 * Parses the kernel's list format for CPUs and memory nodes: `0-3,8`. Source: linux
 * Documentation/admin-guide/kernel-parameters.rst § cpu lists.
 */

/** the highest CPU of linux NR_CPUS, which is Docker's bound too */
const MAX_CPU = 8191;

/** @returns the numbers in ascending order, or undefined when the text is no list */
export function parseCpuList(text: string): number[] | undefined {
  const result = new Set<number>();
  for (const part of text.trim().split(',')) {
    const match = /^(\d{1,5})(?:-(\d{1,5}))?$/.exec(part);
    if (!match) return undefined;
    const first = Number(match[1]);
    const last = Number(match[2] ?? match[1]);
    if (last < first || last > MAX_CPU) return undefined;
    for (let number = first; number <= last; number++) result.add(number);
  }
  return [...result].sort((a, b) => a - b);
}
