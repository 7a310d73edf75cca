/** Where figures go: docs/performance.md, each table between its own pair of markers, with what it was measured on. */
import { readFileSync, writeFileSync } from 'node:fs';
import { cpus, loadavg, release } from 'node:os';
import { join } from 'node:path';

const FILE = join(import.meta.dirname, '../docs/performance.md');

/** Replaces what stands between the markers of a section (`<!-- bench:NAME -->`). @throws Error where it has none */
export function writeSection(name: string, lines: readonly string[]): void {
  const text = readFileSync(FILE, 'utf8');
  const section = new RegExp(`(<!-- bench:${name} -->\\n)[\\s\\S]*?(<!-- /bench:${name} -->)`);
  if (!section.test(text)) throw new Error(`${FILE} has no place for the table ${name}`);
  // A function, because a dollar sign in a table would mean something in a text.
  writeFileSync(
    FILE,
    text.replace(section, (_all, from: string, to: string) => `${from}${lines.join('\n')}\n${to}`),
  );
  console.log(`written to ${FILE}`);
}

/** @returns what figures of this moment were measured on: cores, kernel, load, day */
export function conditions(): string {
  const [cpu] = cpus();
  const load = loadavg()[0]!.toFixed(1);
  const day = new Date().toISOString().slice(0, 10);
  return `${cpus().length} cores (${cpu!.model.trim()}), Linux ${release()}, load ${load} at the end, ${day}.`;
}
