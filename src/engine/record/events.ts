/** What goes into the events table about a container: Docker's attributes (image, name, labels). */
import { appendEvent } from '../../state/events.ts';
import type { EngineContext } from './context.ts';
import type { Container } from '../contract.ts';

export function eventAttributes(record: Container): Record<string, string> {
  return { ...record.config.labels, image: record.config.image, name: record.name };
}

export function recordEvent(
  context: EngineContext,
  record: Container,
  action: string,
  attributes: Record<string, string> = {},
): void {
  appendEvent(context.database, {
    Type: 'container',
    Action: action,
    Actor: { ID: record.id, Attributes: { ...eventAttributes(record), ...attributes } },
  });
}
