/**
 * The events table: what happened, in order, for `husk events`. Appending is one insert; nothing is ever kept in
 * memory.
 */
import type { DatabaseSync } from 'node:sqlite';
import { nowNanoseconds } from './time.ts';

/** Docker's event message: types/events.Message of its Engine API. */
export interface EventRecord {
  Type: 'container' | 'image' | 'volume' | 'network';
  Action: string;
  Actor: { ID: string; Attributes: Record<string, string> };
}

export interface StoredEvent extends EventRecord {
  /** grows with every event, also when the clock is set back */
  sequence: number;
  /** µs since the epoch */
  time: number;
}

/** Rows kept; older ones go as new ones come (Docker keeps its last 256 only). */
const MAX_EVENTS = 10_000;
/** the bound is enforced once in so many appends */
const TRIM_EVERY = 64;

/** Within the caller's transaction if there is one. */
export function appendEvent(database: DatabaseSync, event: EventRecord): void {
  const { lastInsertRowid } = database
    .prepare('INSERT INTO events (time, record) VALUES (?, ?)')
    .run(nowNanoseconds() / 1000n, JSON.stringify(event));
  if (Number(lastInsertRowid) % TRIM_EVERY === 0)
    database.prepare('DELETE FROM events WHERE sequence <= ?').run(Number(lastInsertRowid) - MAX_EVENTS);
}

/** The sequence number of the newest event; 0 when there has been none. */
export function lastEvent(database: DatabaseSync): number {
  return (database.prepare('SELECT max(sequence) AS last FROM events').get() as { last: number | null }).last ?? 0;
}

/** At most `limit` events behind a sequence number, oldest first. A record that is damaged is passed over. */
export function eventsAfter(
  database: DatabaseSync,
  after: number,
  limit: number,
): { events: StoredEvent[]; last: number } {
  const rows = database
    .prepare('SELECT sequence, time, record FROM events WHERE sequence > ? ORDER BY sequence LIMIT ?')
    .all(after, limit) as unknown as { sequence: number; time: number; record: string }[];
  const events = rows.flatMap(({ sequence, time, record }) => {
    const event = parse(record);
    return event ? [{ ...event, sequence, time }] : [];
  });
  return { events, last: rows.at(-1)?.sequence ?? after };
}

function parse(text: string): EventRecord | undefined {
  try {
    const value = JSON.parse(text) as EventRecord;
    return typeof value.Type === 'string' &&
      typeof value.Action === 'string' &&
      typeof value.Actor?.ID === 'string' &&
      typeof value.Actor.Attributes === 'object'
      ? value
      : undefined;
  } catch {
    return undefined;
  }
}
