/**
 * Wires a connection's streams to what the engine's doors see. Signals and sizes go by connections of their own: a full
 * stdin does not hold them up.
 */
import type { ProcessStreams } from '../../supervisor/client.ts';
import { ask } from '../record/supervisor-link.ts';
import type { EngineContext } from '../record/context.ts';
import type { Attachment, Container } from '../contract.ts';
import { recordEvent } from '../record/events.ts';

export function attachment(
  context: EngineContext,
  container: Container,
  streams: ProcessStreams,
  exec?: string,
): Attachment {
  // requests go in their order: a SIGINT must not overtake the SIGWINCH before it
  let last: Promise<unknown> = Promise.resolve();
  const send = (request: Parameters<typeof ask>[2]) => {
    last = last
      .then(() => ask(context, { ...container, state: { ...container.state, status: 'running' } }, request))
      .catch(() => {});
  };
  return {
    stdin: streams.stdin,
    stdout: streams.stdout,
    stderr: streams.stderr,
    exited: streams.exited,
    detach: ({ gone = false } = {}) => {
      // first of all: that it is left must not depend on an event that cannot be written
      streams.detach();
      if (gone) return;
      if (exec === undefined) recordEvent(context, container, 'detach');
      else recordEvent(context, container, 'exec_detach', { execID: exec });
    },
    resize: (columns, rows) => send({ type: 'resize', columns, rows, exec }),
    signal: (signal) => send({ type: 'signal', signal, exec, byUser: true }),
  };
}
