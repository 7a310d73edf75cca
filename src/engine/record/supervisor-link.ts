/**
 * Requests to the supervisor of a running container: one connection each. A supervisor that is gone is no error here:
 * the record is mended and read again.
 */
import { HuskError } from '../../errors.ts';
import { after, elapsed } from '../../long-timer.ts';
import { readAccess } from '../../supervisor/protocol/access.ts';
import { SupervisorClient } from '../../supervisor/client.ts';
import type { Event, Request } from '../../supervisor/protocol/protocol.ts';
import type { EngineContext } from './context.ts';
import type { Container } from '../contract.ts';
import { resolve } from './reconcile.ts';

/**
 * Between reading `running` and connecting the container may have exited: its supervisor needs so long (ms) to be gone.
 */
const RETRY_MS = 20;
/** ms a living supervisor may be without its socket: while it starts, and while it ends */
const PATIENCE_MS = 10_000;

function unreachable(context: EngineContext, container: Container): HuskError {
  const pid = container.state.supervisor?.pid;
  const { socket } = readAccess(context.paths, container.id);
  return new HuskError(
    `cannot reach the supervisor of container ${container.id}: process ${pid} lives, but not on ${socket}`,
    {
      kind: 'unavailable',
      fix: `husk stop ${container.name} ends it all the same; what the container wrote stays`,
    },
  );
}

/** A supervisor that lives and cannot be asked: its socket is gone, or lies where others could have put one. */
export function isUnreachable(error: unknown): boolean {
  return (
    error instanceof HuskError &&
    (error.kind === 'unavailable' || error.kind === 'unsupported' || error.kind === 'unauthorized')
  );
}

export function isRunning(container: Container): boolean {
  return ['running', 'paused', 'restarting'].includes(container.state.status);
}

/** Docker's text when something needs a running container. */
export function notRunning(container: Container): HuskError {
  return new HuskError(`container ${container.id} is not running`, { kind: 'conflict' });
}

/** @returns undefined when the container is not running (any more) */
export async function connect(context: EngineContext, container: Container): Promise<SupervisorClient | undefined> {
  const started = elapsed();
  for (
    let current: Container | undefined = container;
    current && isRunning(current);
    current = reread(context, container.id)
  ) {
    const client = await SupervisorClient.connect(readAccess(context.paths, current.id));
    if (client) return client;
    if (elapsed() - started > PATIENCE_MS) throw unreachable(context, current);
    await after(RETRY_MS);
  }
  return undefined;
}

/**
 * One request, one answer.
 * @returns undefined when the container stopped before it could answer
 */
export async function ask(context: EngineContext, container: Container, request: Request): Promise<Event | undefined> {
  using client = await connect(context, container);
  if (!client) return undefined;
  try {
    return await client.request(request);
  } catch (error) {
    if (error instanceof HuskError && error.kind === 'unavailable') return undefined;
    throw error;
  }
}

/**
 * @returns a connection to the machine that has the files of a container open which does not run; undefined when there
 * is none, or it is about to end
 */
export async function joinFiles(context: EngineContext, container: Container): Promise<SupervisorClient | undefined> {
  if (container.state.claim?.operation !== 'copy') return undefined;
  const client = await SupervisorClient.connect(readAccess(context.paths, container.id)).catch(() => undefined);
  try {
    await client?.request({ type: 'join-files' });
    return client;
  } catch {
    client?.[Symbol.dispose]();
    return undefined;
  }
}

/**
 * Files that are kept open for the next request are closed when the container itself is wanted; whoever uses them is
 * still waited for. Never rejects.
 */
export async function releaseFiles(context: EngineContext, container: Container): Promise<void> {
  if (container.state.claim?.operation !== 'copy') return;
  using client = await SupervisorClient.connect(readAccess(context.paths, container.id)).catch(() => undefined);
  await client?.request({ type: 'release-files' }).catch(() => {});
}

/** The same container again, as it is now. */
export function reread(context: EngineContext, id: string): Container | undefined {
  try {
    return resolve(context, id);
  } catch (error) {
    if (error instanceof HuskError && error.kind === 'not-found') return undefined;
    throw error;
  }
}
