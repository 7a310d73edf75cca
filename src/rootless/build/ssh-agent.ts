/**
 * Stands between a step of a build and the ssh-agent(1) of the user: keys are listed and used for signatures, and that
 * is all. Keys cannot be added, removed or locked, and no extension is passed on. What either side sends is
 * bounded, and of the agent's answers there is one to each request.
 *
 * Source: draft-miller-ssh-agent; OpenSSH's PROTOCOL.agent
 */
import { once } from 'node:events';
import { rmSync } from 'node:fs';
import { createConnection, createServer, type Server, type Socket } from 'node:net';
import { HuskError } from '../../errors.ts';
import { open } from '../../host/fd.ts';
import { roomIn } from '../../host/streams/room.ts';
import { O_PATH } from '../../host/files/file-at.ts';
import { O_DIRECTORY } from '../../host/files/lookup.ts';

/** draft-miller-ssh-agent § 5.1 */
const REQUEST_IDENTITIES = 11;
const SIGN_REQUEST = 13;
const PASSED_ON = new Set([REQUEST_IDENTITIES, SIGN_REQUEST]);
/** SSH_AGENT_FAILURE, as a whole message */
const REFUSED = Buffer.from([0, 0, 0, 1, 5]);
/** bytes of a message's length, and of the longest message: AGENT_MAX_LEN of OpenSSH's ssh-agent.c */
const LENGTH = 4;
const MAX_MESSAGE = 256 << 10;
/** connections of a step at the same time */
const MAX_CONNECTIONS = 64;

export interface ServedAgent extends AsyncDisposable {
  readonly path: string;
}

/**
 * Listens on a new socket.
 * @param folder,name of the socket; `folder` may have a longer path than a socket's address may
 */
export const serveAgent = (agent: string, folder: string, name: string): Promise<ServedAgent> =>
  serveMessages(folder, name, (client) => serve(client, agent));

/**
 * Does what serveAgent does, for an agent whose answers `serve` gives.
 * @param serve ends with the client; what it throws ends the client
 */
export async function serveMessages(
  folder: string,
  name: string,
  serve: (client: Socket) => Promise<void>,
): Promise<ServedAgent> {
  const connections = new Set<Socket>();
  const server = createServer((client) => {
    connections.add(client);
    client.once('close', () => connections.delete(client));
    client.on('error', () => client.destroy());
    void serve(client)
      .catch(() => {})
      .finally(() => client.destroy());
  });
  server.maxConnections = MAX_CONNECTIONS;
  await listen(server, folder, name);
  return {
    path: `${folder}/${name}`,
    async [Symbol.asyncDispose]() {
      const closed = new Promise((done) => server.close(done));
      for (const connection of connections) connection.destroy();
      await closed;
      // What was listened at had a name of the moment (listen), so Node has not removed it.
      rmSync(`${folder}/${name}`, { force: true });
    },
  };
}

/** sun_path of unix(7) has 108 bytes, and a data root may lie deep. */
async function listen(server: Server, folder: string, name: string): Promise<void> {
  using held = open(folder, O_PATH | O_DIRECTORY);
  const listening = once(server, 'listening');
  server.listen(`/proc/self/fd/${held.number}/${name}`);
  await listening;
}

/** Answers one request after another: an agent says nothing that it is not asked for. */
async function serve(client: Socket, path: string): Promise<void> {
  let agent: Socket | undefined;
  let answers: AsyncGenerator<Buffer, void> | undefined;
  try {
    for await (const request of messages(client)) {
      if (!PASSED_ON.has(request[LENGTH]!)) {
        await say(client, REFUSED);
        continue;
      }
      agent ??= await connected(path);
      answers ??= messages(agent);
      agent.write(request);
      const answer = await answers.next();
      if (answer.done) return;
      await say(client, answer.value);
    }
  } catch {
    // Whoever of them has broken the rules, or is gone: the client sees its connection end.
  } finally {
    client.destroy();
    agent?.destroy();
  }
}

/**
 * Sends an answer, and waits until the client has room for more: one that asks without end and reads nothing would
 * otherwise fill the memory of this process, which no limit of the step's bounds.
 */
export async function say(client: Socket, answer: Uint8Array): Promise<void> {
  client.write(answer);
  await roomIn(client);
}

async function connected(path: string): Promise<Socket> {
  const agent = createConnection(path);
  await once(agent, 'connect');
  // Its end is seen where it is read.
  agent.on('error', () => {});
  return agent;
}

/** @returns whole messages, with their lengths @throws HuskError `invalid` for a message without end */
export async function* messages(stream: AsyncIterable<Uint8Array>): AsyncGenerator<Buffer, void> {
  const message = new Message();
  for await (const chunk of stream) {
    message.push(chunk);
    for (let whole = message.take(); whole; whole = message.take()) yield whole;
  }
}

/**
 * Puts messages together: u32 length, big-endian, then as many bytes, at least one. Attack: a message that comes byte
 * by byte, or many in one piece, would cost the square of its length if what is there were copied for each.
 */
class Message {
  /** what has come lies from `start` to `end` */
  #bytes: Buffer = Buffer.alloc(0);
  #start = 0;
  #end = 0;

  push(chunk: Uint8Array): void {
    const length = this.#end - this.#start;
    if (this.#end + chunk.length > this.#bytes.length) {
      const room = Buffer.alloc(Math.max(length + chunk.length, 2 * length));
      this.#bytes.copy(room, 0, this.#start, this.#end);
      [this.#bytes, this.#start, this.#end] = [room, 0, length];
    }
    this.#bytes.set(chunk, this.#end);
    this.#end += chunk.length;
  }

  /** @returns the first whole one, with its length; undefined: there is none yet */
  take(): Buffer | undefined {
    const available = this.#end - this.#start;
    if (available < LENGTH) return undefined;
    const length = this.#bytes.readUInt32BE(this.#start);
    if (length === 0 || length > MAX_MESSAGE)
      throw new HuskError(`a message of ${length} bytes to an ssh-agent`, { kind: 'invalid' });
    if (available < LENGTH + length) return undefined;
    // Its bytes are written over by what comes next.
    const whole = Buffer.from(this.#bytes.subarray(this.#start, this.#start + LENGTH + length));
    this.#start += whole.length;
    return whole;
  }
}
