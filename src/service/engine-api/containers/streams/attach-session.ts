/**
 * A container's streams over a client's connection, whatever its protocol. A container that does not run yet is no
 * error: the client is answered at once, its input waits in the kernel, and it is joined when the container is started.
 */
import type { Container, Engine } from '../../../../engine/contract.ts';
import { HuskError } from '../../../../errors.ts';
import { parseDetachKeys } from '../../../../notation/detach-keys.ts';
import { unlessAborted } from '../../../http/answer.ts';
import type { Call, Query } from '../../../http/contract.ts';
import { bytesOf } from '../../../http/multiplex.ts';
import { AttachClient } from './attach-client.ts';
import { logLines } from './log-lines.ts';
import { SharedAttachment } from './shared-attachment.ts';
import { Place, waitingAttaches } from './waiting.ts';

const NS_PER_MS = 1_000_000n;

export interface AskedAttach {
  stdin: boolean;
  stdout: boolean;
  stderr: boolean;
  /** what was written so far comes first */
  logs: boolean;
  /** and what is written from now on */
  stream: boolean;
  keys: Uint8Array;
}

/**
 * The streams are had before the head is sent, so that an error has a status; what was written up to then is the log's.
 * @param accept sends the head; `end` is called when there is nothing more for the client
 */
export async function serveAttach(
  engine: Engine,
  { id, asked }: { id: string; asked: AskedAttach },
  accept: () => { client: AttachClient; end?: () => void },
): Promise<void> {
  await using place = asked.stream ? await placeAtStart(engine, id) : undefined;
  const attachment = asked.stream && !place ? await engine.attach(id, asked) : undefined;
  const until = BigInt(Date.now()) * NS_PER_MS;
  const { client, end } = accept();
  if (asked.logs) await writeLog(engine, id, { client, until });
  if (attachment) await connect(engine, id, { attachment, clients: [client] });
  if (place) await joinAtStart(engine, id, { client, place });
  end?.();
}

/** @throws HuskError `invalid` for keys that are none */
export function readAttach(query: Query): AskedAttach {
  return {
    stdin: query.boolean('stdin'),
    stdout: query.boolean('stdout'),
    stderr: query.boolean('stderr'),
    logs: query.boolean('logs'),
    stream: query.boolean('stream'),
    keys: parseDetachKeys(query.text('detachKeys') ?? ''),
  };
}

/** @throws HuskError in Docker's words for a container that nobody can be attached to now */
export function attachable(engine: Engine, { parameters }: Pick<Call, 'parameters'>): Container {
  const name = parameters['name']!;
  const container = engine.get(name);
  const { status } = container.state;
  if (status === 'paused')
    throw new HuskError(`container ${name} is paused, unpause the container before attach`, { kind: 'conflict' });
  if (status === 'restarting')
    throw new HuskError(`container ${name} is restarting, wait until the container is running`, { kind: 'conflict' });
  return container;
}

/** A client without a stream of its own sends nothing: what it sends is dropped. */
export const wantedOf = ({ stdin, stdout, stderr, stream }: AskedAttach) => ({
  stdin: stdin && stream,
  stdout,
  stderr,
});

/** @returns undefined where it runs: then there is something to be attached to */
async function placeAtStart(engine: Engine, id: string): Promise<Place | undefined> {
  if (engine.get(id).state.status === 'running') return undefined;
  const awaited = await engine.awaitStart(id);
  return awaited && new Place(awaited);
}

async function connect(
  engine: Engine,
  id: string,
  { attachment, clients }: { attachment: Awaited<ReturnType<Engine['attach']>>; clients: AttachClient[] },
): Promise<void> {
  const stdinOnce = engine.get(id).config.options.stdinOnce ?? false;
  await new SharedAttachment(attachment, clients, { stdinOnce }).run();
}

/** Waits for this server's start, which takes the client along, or for somebody else's. */
async function joinAtStart(
  engine: Engine,
  id: string,
  { client, place }: { client: AttachClient; place: Place },
): Promise<void> {
  const waiting = waitingAttaches(engine);
  waiting.enter(id, client, place);
  const ended = new AbortController();
  try {
    const elsewhere = place.started(AbortSignal.any([client.signal, ended.signal]));
    elsewhere.catch(() => {});
    await unlessAborted(Promise.race([client.done, elsewhere]), client.signal);
    // Taken by a start of this server: that one ends it.
    if (!waiting.leave(id, client)) return void (await unlessAborted(client.done, client.signal));
    if (client.signal.aborted || !(await elsewhere)) return;
    const attachment = await engine.attach(id, { ...client.wanted, awaited: [place.token] }).catch(() => undefined);
    if (!attachment) return;
    place.taken();
    await connect(engine, id, { attachment, clients: [client] });
  } finally {
    waiting.leave(id, client);
    ended.abort();
  }
}

async function writeLog(
  engine: Engine,
  id: string,
  { client, until }: { client: AttachClient; until: bigint },
): Promise<void> {
  const { stdout, stderr } = client.wanted;
  for await (const lines of logLines(engine, id, { stdout, stderr, until, signal: client.signal }))
    for (const line of lines) await client.write(line.stream, bytesOf([line]));
}
