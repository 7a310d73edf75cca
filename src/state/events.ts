/** The events table: what happened, in order, for `husk events`. Appending is one insert; nothing is ever kept in memory. */
import type { DatabaseSync } from 'node:sqlite';
import { nowNanoseconds } from './time.ts';

/** Docker's event message: types/events.Message of its Engine API. */
export interface EventRecord {
  Type: 'container' | 'image' | 'volume' | 'network';
  Action: string;
  Actor: { ID: string; Attributes: Record<string, string> };
}

/** Rows kept; older ones go as new ones come (Docker keeps its last 256 only). */
const MAX_EVENTS = 10_000;
/** the bound is enforced once in so many appends */
const TRIM_EVERY = 64;

/** Within the caller's transaction if there is one. */
export function appendEvent(database: DatabaseSync, event: EventRecord): void {
  const { lastInsertRowid } = database.prepare('INSERT INTO events (time, record) VALUES (?, ?)').run(nowNanoseconds() / 1000n, JSON.stringify(event));
  if (Number(lastInsertRowid) % TRIM_EVERY === 0) database.prepare('DELETE FROM events WHERE sequence <= ?').run(Number(lastInsertRowid) - MAX_EVENTS);
}
