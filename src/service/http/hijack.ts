/**
 * Connections that stop being HTTP. Node's parser ends behind the head of such a request; this module cuts the body
 * off the connection, sends the head of the answer, and closes the connection in an order that loses no byte.
 */
import type { IncomingHttpHeaders, IncomingMessage } from 'node:http';
import { Socket } from 'node:net';
import { Readable, type Duplex } from 'node:stream';
import { HuskError } from '../../errors.ts';
import { JSON_TIMEOUT, LINGER, MAX_JSON, PROBE_INTERVAL } from './bounds.ts';
import { ChunkedBody } from './chunked.ts';
import type { Answer } from './contract.ts';
import { COMMON_HEADERS } from './version.ts';

const invalid = (message: string): HuskError => new HuskError(message, { kind: 'invalid' });

export type HijackAnswer = Extract<Answer, { kind: 'hijack' }>;

/** What takes a body's bytes; it never takes one behind the end. */
interface Cutter {
  /** @returns how many of the bytes belong to the body @throws HuskError `invalid` */
  take(bytes: Buffer): number;
  readonly done: boolean;
  readonly body: readonly Buffer[];
}

/**
 * Reads the body of a request off its connection, by count, however the bytes are split; what came behind it is put
 * back. `exec/start` sends its options as a body and the command's stdin right behind them.
 * @param head what Node had read already
 * @throws HuskError `invalid`
 */
export async function cutBody(request: IncomingMessage, socket: Duplex, head: Buffer): Promise<Readable> {
  const cutter = cutterFor(request.headers);
  if (head.length > 0) socket.unshift(head);
  if (!cutter.done) await feed(cutter, socket);
  return Readable.from(cutter.body, { objectMode: false });
}

function feed(cutter: Cutter, socket: Duplex): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const fail = (error: unknown): void => {
    stop();
    reject(error as Error);
  };
  const onEnd = (): void => fail(invalid('unexpected EOF in the body of the request'));
  const onReadable = (): void => {
    try {
      for (let bytes = socket.read() as Buffer | null; bytes !== null; bytes = socket.read() as Buffer | null) {
        const taken = cutter.take(bytes);
        if (!cutter.done) continue;
        // What is put back is announced as readable at once: nobody here may hear that any more.
        stop();
        if (taken < bytes.length) socket.unshift(bytes.subarray(taken));
        return resolve();
      }
    } catch (error) {
      fail(error);
    }
  };
  const late = setTimeout(() => fail(invalid('the body did not come in time')), JSON_TIMEOUT);
  const stop = (): void => {
    clearTimeout(late);
    socket.off('readable', onReadable).off('end', onEnd).off('close', onEnd);
  };
  socket.on('readable', onReadable).once('end', onEnd).once('close', onEnd);
  onReadable();
  return promise;
}

/** Both lengths in one request are refused by Node's strict parser, before this. */
function cutterFor(headers: IncomingHttpHeaders): Cutter {
  if (headers['transfer-encoding'] !== undefined) {
    if (headers['transfer-encoding'].toLowerCase() !== 'chunked')
      throw invalid('unsupported transfer encoding of a request that takes the connection');
    return new ChunkedBody(MAX_JSON);
  }
  const length = Number(headers['content-length'] ?? '0');
  if (!(length <= MAX_JSON)) throw invalid(`the body is larger than ${MAX_JSON >> 20} MiB`);
  const body: Buffer[] = [];
  let missing = length;
  return {
    take(bytes) {
      const taken = Math.min(missing, bytes.length);
      body.push(bytes.subarray(0, taken));
      missing -= taken;
      return taken;
    },
    get done() {
      return missing === 0;
    },
    body,
  };
}

/** @returns the answer's head: 101 where the client asked for another protocol, else 200 and bytes up to the close */
export function hijackHead(request: IncomingMessage, { type, headers }: HijackAnswer): string {
  const upgrade = upgradeOf(request.headers);
  const lines = Object.entries({
    ...COMMON_HEADERS,
    ...(type === undefined ? {} : { 'Content-Type': type }),
    ...(upgrade === undefined ? { Connection: 'close' } : { Connection: 'Upgrade', Upgrade: upgrade }),
    ...headers,
  }).map(([name, value]) => `${name}: ${value}\r\n`);
  return `HTTP/1.1 ${upgrade === undefined ? '200 OK' : '101 UPGRADED'}\r\n${lines.join('')}\r\n`;
}

/** @returns the protocol that the client asked for; a token, so that nothing of it can end a line of a head */
function upgradeOf({ connection = '', upgrade }: IncomingHttpHeaders): string | undefined {
  if (
    !connection
      .toLowerCase()
      .split(',')
      .some((word) => word.trim() === 'upgrade')
  )
    return undefined;
  return /^[a-zA-Z0-9]{1,32}$/.exec(upgrade ?? '')?.[0];
}

/**
 * Looks from time to time whether the client of a connection that nobody reads or writes is still there. Its close and
 * its half-close read the same; a write of no bytes fails in the first case alone (EPIPE, unix(7)).
 */
export function watch(socket: Duplex): Disposable {
  const probe = (): void => {
    if (socket.writableLength === 0 && !socket.writableEnded) socket.write(Buffer.alloc(0));
  };
  const isPlain: boolean = socket.constructor === Socket;
  const timer = isPlain ? setInterval(probe, PROBE_INTERVAL).unref() : undefined;
  if (isPlain) socket.on('end', probe);
  return {
    [Symbol.dispose]() {
      clearInterval(timer);
      socket.off('end', probe);
    },
  };
}

/**
 * Ends our side and reads on for a while, dropping what comes: a close with unread bytes would be ECONNRESET at the
 * client's end, which then takes the output for torn.
 * @param last bytes to write before the end
 */
export async function closeGently(socket: Duplex, last = ''): Promise<void> {
  if (socket.destroyed) return;
  const closed = Promise.withResolvers<void>();
  socket.once('close', closed.resolve);
  socket.end(last);
  socket.resume();
  if (socket.readableEnded && socket.writableFinished) socket.destroy();
  const late = setTimeout(() => socket.destroy(), LINGER).unref();
  await closed.promise;
  clearTimeout(late);
}
