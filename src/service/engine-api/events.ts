/** `GET /events`: what happens, a JSON object a line, as it happens. */
import type { EventMessage } from '../../engine/contract.ts';
import { eventJson } from '../../engine/look/event-json.ts';
import type { Handler } from '../http/contract.ts';

/** moby daemon/events/filter.go and its validation in api/server/router/system */
const FILTERS = [
  'config',
  'container',
  'daemon',
  'event',
  'image',
  'label',
  'network',
  'node',
  'plugin',
  'scope',
  'secret',
  'service',
  'type',
  'volume',
];

export const events: Handler = ({ query, signal }, engine) => {
  // What is wrong with the filters or the times is thrown here, while there is a status to say it with.
  const messages = engine.events({
    since: query.moment('since'),
    until: query.moment('until'),
    filters: query.filters(FILTERS),
    signal,
  });
  return { kind: 'lines', lines: toLines(messages), early: true };
};

async function* toLines(messages: AsyncIterable<EventMessage>): AsyncGenerator<object> {
  for await (const message of messages) yield eventJson(message);
}
