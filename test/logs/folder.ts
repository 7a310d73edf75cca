/** A folder for one test, and what a log wants to know of a container. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { ExecutionContext } from 'ava';
import type { LoggedContainer } from '../../src/logs/request.ts';
import { openLog } from '../../src/logs/open.ts';
import { readLog, type ReadOptions } from '../../src/logs/read.ts';
import type { LogEntry, LogSink } from '../../src/logs/sink.ts';

export function folder(t: ExecutionContext): string {
  const path = mkdtempSync(join(tmpdir(), 'husk-log-'));
  t.teardown(() => rmSync(path, { recursive: true }));
  return path;
}

export const CONTAINER: LoggedContainer = {
  id: 'c0ffee'.padEnd(64, '0'),
  name: 'calm_husk',
  imageId: `sha256:${'ab'.repeat(32)}`,
  image: 'alpine:3',
  labels: { a: '1', b: 'two words', c: '3' },
  env: ['A=x=y', 'B=2', 'NOTHING'],
};

export function open(
  at: string,
  driver: string,
  options: Record<string, string> = {},
  onTrouble: (message: string) => void = () => {},
): Promise<LogSink> {
  return openLog({ driver, options }, { folder: at, container: CONTAINER, onTrouble });
}

export async function readAll(path: string, options: ReadOptions): Promise<LogEntry[]> {
  const found: LogEntry[] = [];
  for await (const entries of readLog(path, options)) found.push(...entries);
  return found;
}
