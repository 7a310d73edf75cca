/**
 * Writes a handler's answer to Node's response. A client that reads slowly holds the handler's stream up; one that goes
 * away ends it.
 */
import type { ServerResponse } from 'node:http';
import { MAX_WRITE } from './bounds.ts';
import type { PlainAnswer } from './contract.ts';
import { failureLine, shownError } from './errors.ts';
import { COMMON_HEADERS } from './version.ts';

/** What a response needs to know of its request. */
export interface Asked {
  /** HEAD has the head of GET's answer alone */
  isHead: boolean;
  /** aborted when the client has gone, or the server ends */
  signal: AbortSignal;
  /** told of a bug that could not be told to the client, whose head has gone already */
  onBug: (error: unknown) => void;
}

/**
 * @returns when the last byte was given to the connection, or the client has gone
 * @throws what the handler's stream throws before its first piece, when nothing was written yet
 */
export async function send(response: ServerResponse, answer: PlainAnswer, asked: Asked): Promise<void> {
  switch (answer.kind) {
    case 'json':
      return whole(response, answer, 'application/json', `${JSON.stringify(answer.value)}\n`);
    case 'text':
      return whole(response, answer, 'text/plain; charset=utf-8', answer.text);
    case 'empty':
      response.writeHead(answer.status, {
        ...COMMON_HEADERS,
        ...(answer.status === 204 || answer.status === 304 ? {} : { 'Content-Length': '0' }),
        ...answer.headers,
      });
      return void response.end();
    case 'lines':
      return await stream(response, answer, 'application/json', toLines(answer.lines), asked);
    case 'bytes':
      return await stream(response, answer, answer.type, answer.bytes, asked);
  }
}

function whole(
  response: ServerResponse,
  answer: { status: number; headers?: Record<string, string> },
  type: string,
  text: string,
): void {
  const bytes = Buffer.from(text);
  response.writeHead(answer.status, {
    ...COMMON_HEADERS,
    'Content-Type': type,
    'Content-Length': String(bytes.length),
    ...answer.headers,
  });
  response.end(bytes);
}

async function* toLines(values: AsyncIterable<unknown>): AsyncGenerator<Uint8Array> {
  let begun = false;
  try {
    for await (const value of values) {
      begun = true;
      yield Buffer.from(`${JSON.stringify(value)}\n`);
    }
  } catch (error) {
    // Before the first line the error has a status of its own; a bug is told by the caller too.
    if (!begun || !shownError(error)) throw error;
    yield Buffer.from(`${JSON.stringify(failureLine(error))}\n`);
  }
}

async function stream(
  response: ServerResponse,
  answer: { early?: boolean; headers?: Record<string, string> },
  type: string,
  pieces: AsyncIterable<Uint8Array>,
  asked: Asked,
): Promise<void> {
  const begin = (): void => {
    if (!response.headersSent)
      response.writeHead(200, { ...COMMON_HEADERS, 'Content-Type': type, ...answer.headers }).flushHeaders();
  };
  const iterator = pieces[Symbol.asyncIterator]();
  if (answer.early) begin();
  try {
    while (!asked.signal.aborted && !(asked.isHead && response.headersSent)) {
      const next = await unlessAborted(iterator.next(), asked.signal);
      if (next === undefined || next.done) break;
      begin();
      if (!asked.isHead) await write(response, next.value, asked.signal);
    }
    if (!asked.signal.aborted) begin();
  } catch (error) {
    if (!response.headersSent) throw error;
    if (!asked.signal.aborted) broken(response, error, asked);
  } finally {
    // A generator that waits for something else than the signal ends when it comes back; nobody waits for that.
    void iterator.return?.().then(undefined, () => {});
  }
  response.end();
}

/** The head has gone: a connection that is cut off is the one way left to say that the bytes are not all. */
function broken(response: ServerResponse, error: unknown, asked: Asked): void {
  if (!shownError(error)) asked.onBug(error);
  response.destroy();
}

/** Gives bytes to the connection a piece at a time, so that no more than one piece waits in this process. */
export async function write(
  to: { write(bytes: Uint8Array): boolean; once(event: 'drain', told: () => void): unknown; off: typeof to.once },
  bytes: Uint8Array,
  signal: AbortSignal,
): Promise<void> {
  for (let at = 0; at < bytes.length && !signal.aborted; at += MAX_WRITE) {
    if (to.write(bytes.subarray(at, at + MAX_WRITE))) continue;
    const drained = Promise.withResolvers<void>();
    to.once('drain', drained.resolve);
    await unlessAborted(drained.promise, signal);
    to.off('drain', drained.resolve);
  }
}

/** @returns undefined as soon as the signal is aborted; what the promise does then is nobody's concern */
export async function unlessAborted<T>(promise: Promise<T>, signal: AbortSignal): Promise<T | undefined> {
  const gone = Promise.withResolvers<undefined>();
  const onAbort = (): void => gone.resolve(undefined);
  signal.addEventListener('abort', onAbort);
  if (signal.aborted) onAbort();
  try {
    promise.catch(() => {});
    return await Promise.race([promise, gone.promise]);
  } finally {
    signal.removeEventListener('abort', onAbort);
  }
}
