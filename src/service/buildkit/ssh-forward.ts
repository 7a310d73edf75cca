/** Agents of a client as sockets here: what a step says to one goes to the client over its session, and back. */
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { once } from 'node:events';
import { bytesMessage, bytesOf, type Session } from './session.ts';

const FORWARD = '/moby.sshforward.v1.SSH/ForwardAgent';
/** header that names the agent */
const ID = 'buildkit.ssh.id';
/** connections to one agent at a time */
const MAX_CONNECTIONS = 64;

export interface ForwardedAgents extends AsyncDisposable {
  /** paths of sockets by id */
  sockets: Record<string, string>;
}

/** @param ids of agents that the client has */
export async function forwardAgents(
  session: Session,
  ids: readonly string[],
  signal: AbortSignal,
): Promise<ForwardedAgents> {
  const cleanup = new AsyncDisposableStack();
  const sockets: Record<string, string> = {};
  const ending = new AbortController();
  cleanup.defer(() => ending.abort());
  const both = AbortSignal.any([signal, ending.signal]);
  for (const [index, id] of ids.entries()) {
    // 0700: whoever connects is the client at every host that its keys open.
    const folder = cleanup.adopt(mkdtempSync(join(tmpdir(), 'husk-agent-')), (made) =>
      rmSync(made, { recursive: true, force: true }),
    );
    const path = join(folder, String(index));
    const server = createServer({ allowHalfOpen: true }, (socket) => void forward(session, id, socket, both));
    server.maxConnections = MAX_CONNECTIONS;
    server.listen(path);
    await once(server, 'listening');
    cleanup.defer(() => void server.close());
    sockets[id] = path;
  }
  return { sockets, [Symbol.asyncDispose]: () => cleanup.disposeAsync() };
}

async function forward(session: Session, id: string, socket: Socket, signal: AbortSignal): Promise<void> {
  const destroy = (): void => void socket.destroy();
  socket.on('error', destroy);
  try {
    const call = session.call(FORWARD, signal, { [ID]: id });
    socket.once('close', () => call.cancel());
    const answers = (async () => {
      for await (const data of bytesOf(call.messages))
        if (!socket.write(data)) await Promise.race([once(socket, 'drain'), once(socket, 'close')]);
    })();
    answers.then(() => socket.end(), destroy);
    for await (const data of socket as AsyncIterable<Buffer>) await call.send(bytesMessage(data));
    call.end();
    await answers;
  } catch {
    // The step sees that its agent does not answer.
  } finally {
    destroy();
  }
}
