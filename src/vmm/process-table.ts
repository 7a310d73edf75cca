/**
 * Checks what a guest says of its processes. The attack is a command line that breaks the table or fills the host's
 * memory. The functions touch nothing but their arguments.
 */
import { HuskError } from '../errors.ts';
import type { ProcessTable } from '../sandbox.ts';

/**
 * most columns, and most characters of all cells, so that a frame of the supervisor's protocol holds the table; the
 * agent (src/container/processes/ps.ts) stays below both
 */
const MAX_COLUMNS = 64;
const MAX_CHARACTERS = 256 * 1024;

/** @throws HuskError `corrupt` for anything but a table of texts */
export function checkTable(value: unknown): ProcessTable {
  const { titles, processes } = (value ?? {}) as { titles?: unknown; processes?: unknown };
  if (!isRow(titles) || titles.length === 0 || !Array.isArray(processes)) throw broken();
  let left = MAX_CHARACTERS;
  const rows: string[][] = [];
  for (const row of [titles, ...(processes as unknown[])]) {
    if (!isRow(row) || row.length !== titles.length) throw broken();
    left -= row.reduce((sum, text) => sum + text.length + 1, 0);
    if (left < 0) break;
    rows.push(row.map(cell));
  }
  const [head, ...rest] = rows;
  if (!head) throw broken();
  return { titles: head, processes: rest };
}

function isRow(value: unknown): value is string[] {
  return Array.isArray(value) && value.length <= MAX_COLUMNS && value.every((item) => typeof item === 'string');
}

/** Replaces control characters, which would move the cursor or begin a line, by question marks, as ps does. */
function cell(text: string): string {
  return text.replace(/[\x00-\x1f\x7f-\x9f]/g, '?');
}

function broken(): HuskError {
  return new HuskError("the guest's agent answered with something else than a table of processes", { kind: 'corrupt' });
}
