/** What goes into the events table about images, with Docker's attributes: a name, and the image's labels. */
import type { DatabaseSync } from 'node:sqlite';
import { appendEvent } from '../../state/events.ts';
import { familiarReference, parseKey } from './reference.ts';

type Labels = Record<string, string> | null | undefined;

/**
 * @param image.id the image's, or for what comes from a registry and goes there the reference
 * @param image.name Docker gives the id where an event is of no single name
 */
export function appendImageEvent(
  database: DatabaseSync,
  action: string,
  { id, name = id, labels }: { id: string; name?: string; labels?: Labels },
): void {
  appendEvent(database, { Type: 'image', Action: action, Actor: { ID: id, Attributes: { ...labels, name } } });
}

/** @param keys of image_names */
export function appendTagEvents(
  database: DatabaseSync,
  keys: readonly string[],
  { id, labels }: { id: string; labels?: Labels },
): void {
  for (const key of keys)
    appendImageEvent(database, 'tag', { id, name: familiarReference(parseKey(key)), ...(labels && { labels }) });
}
