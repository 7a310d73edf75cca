/**
 * The events table: what happened, in order, for `husk events` and for whoever waits for a container. An append is one
 * insert; events are never kept in memory.
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
  /** number that grows with every event, even when the clock is set back */
  sequence: number;
  /** µs since the epoch */
  time: number;
}

const UNTOLD_END = 'end';

/** It has no `Action`, so that an older husk passes it over, too. */
interface UntoldEnd {
  Type: typeof UNTOLD_END;
  id: string;
  exitCode: number;
  error?: string;
}

/** An end of a container's life, or of the container. */
export type Ending = { is: 'exit'; exitCode: number; error?: string } | { is: 'removal' };

/** limit of rows; new events replace the oldest ones (Docker keeps its last 256 only) */
export const MAX_EVENTS = 10_000;
/** appends between two checks of the limit */
const TRIM_EVERY = 64;

/** Appends an event, within the caller's transaction if there is one. */
export function appendEvent(database: DatabaseSync, event: EventRecord): void {
  append(database, event);
}

/**
 * Appends that a container's life is over of which no `die` tells: its start failed, or its next start was called off.
 * Docker has no event of either, so `eventsAfter` leaves these rows out; they are for those who wait.
 * @param end.error why it failed
 */
export function appendUntoldEnd(database: DatabaseSync, end: { id: string; exitCode: number; error?: string }): void {
  append(database, { Type: UNTOLD_END, ...end } satisfies UntoldEnd);
}

function append(database: DatabaseSync, record: EventRecord | UntoldEnd): void {
  const { lastInsertRowid } = database
    .prepare('INSERT INTO events (time, record) VALUES (?, ?)')
    .run(nowNanoseconds() / 1000n, JSON.stringify(record));
  if (Number(lastInsertRowid) % TRIM_EVERY === 0)
    database.prepare('DELETE FROM events WHERE sequence <= ?').run(Number(lastInsertRowid) - MAX_EVENTS);
}

/** @returns the sequence number of the newest event; 0 when there has been none */
export function lastEvent(database: DatabaseSync): number {
  return (database.prepare('SELECT max(sequence) AS last FROM events').get() as { last: number | null }).last ?? 0;
}

/** @returns at most `limit` events behind a sequence number, oldest first; a damaged record is skipped */
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

/**
 * @returns how the lives of a container have ended behind a sequence number, the oldest first; `isWhole` is false where
 * later events have replaced some of those behind the number
 */
export function endingsAfter(
  database: DatabaseSync,
  { id, after }: { id: string; after: number },
): { endings: Ending[]; isWhole: boolean } {
  const { first } = database.prepare('SELECT min(sequence) AS first FROM events').get() as { first: number | null };
  const endings: Ending[] = [];
  // The id is looked for in the text first: most rows are of other containers, and are not parsed.
  const rows = database
    .prepare('SELECT record FROM events WHERE sequence > ? AND instr(record, ?) > 0 ORDER BY sequence')
    .iterate(after, id) as Iterable<{ record: string }>;
  for (const { record } of rows) {
    const ending = endingOf(record, id);
    if (ending) endings.push(ending);
  }
  return { endings, isWhole: first === null || first <= after + 1 };
}

function endingOf(text: string, id: string): Ending | undefined {
  const event = parse(text);
  if (event === undefined) return untoldEnding(text, id);
  if (event.Type !== 'container' || event.Actor.ID !== id) return undefined;
  if (event.Action === 'destroy') return { is: 'removal' };
  const exitCode = Number(event.Actor.Attributes['exitCode']);
  return event.Action === 'die' && Number.isInteger(exitCode) ? { is: 'exit', exitCode } : undefined;
}

function untoldEnding(text: string, id: string): Ending | undefined {
  try {
    const { Type, id: of, exitCode, error } = JSON.parse(text) as Partial<UntoldEnd>;
    if (Type !== UNTOLD_END || of !== id || !Number.isInteger(exitCode)) return undefined;
    return { is: 'exit', exitCode: exitCode!, ...(typeof error === 'string' && { error }) };
  } catch {
    return undefined;
  }
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
