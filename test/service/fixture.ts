/**
 * A server of the API for tests: in this process over any engine (`startServer`), or `bin/husk serve` as an ordinary
 * user (`serveAs`); and a client that asks it (`ask`).
 */
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { request, type IncomingHttpHeaders } from 'node:http';
import { connect, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Readable } from 'node:stream';
import type { Engine } from '../../src/engine/contract.ts';
import { routes as allRoutes } from '../../src/service/engine-api/routes.ts';
import type { Route } from '../../src/service/http/contract.ts';
import { makeServer } from '../../src/service/http/server.ts';
import { HUSK, type TestUser } from '../fixtures/user.ts';

export interface TestServer extends AsyncDisposable {
  /** path of the unix socket */
  readonly socket: string;
  /** for DOCKER_HOST */
  readonly host: string;
  /** bugs that handlers have thrown; a test that expects none looks at the end */
  readonly bugs: unknown[];
}

/**
 * Serves routes in this process. @param engine a whole one (`Husk.open({…}).engine`), or as much of one as the handlers
 * under test call
 */
export async function startServer(engine: Partial<Engine>, routes: readonly Route[] = allRoutes): Promise<TestServer> {
  const folder = mkdtempSync(join(tmpdir(), 'husk-api-'));
  const socket = join(folder, 's');
  const bugs: unknown[] = [];
  const ended = new AbortController();
  const onBug = (error: unknown): void => void bugs.push(error);
  const server = makeServer({ routes, engine: engine as Engine, onBug, ending: ended.signal, ended: ended.signal });
  await once(server.listen(socket), 'listening');
  return {
    socket,
    host: `unix://${socket}`,
    bugs,
    async [Symbol.asyncDispose]() {
      ended.abort();
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
      rmSync(folder, { recursive: true });
    },
  };
}

/** `husk serve` as an ordinary user, on a socket in the user's home; and its process. */
export async function serveAs(user: TestUser, ...flags: string[]): Promise<TestServer & { readonly pid: number }> {
  const socket = join(user.home, 'run/husk/docker.sock');
  const child = user.start([HUSK, 'serve', ...flags], { stdio: ['ignore', 'pipe', 'inherit'] });
  const exited = once(child, 'exit');
  // Its first line says that it listens.
  await Promise.race([
    once(child.stdout!, 'data'),
    exited.then(([code]) => Promise.reject(new Error(`husk serve ended with ${code}`))),
  ]);
  child.stdout!.resume();
  return {
    socket,
    host: `unix://${socket}`,
    bugs: [],
    // What makes it that user's, the script and the launcher have all become it by execve(2).
    pid: child.pid!,
    async [Symbol.asyncDispose]() {
      child.kill('SIGTERM');
      await exited;
    },
  };
}

export interface Reply {
  status: number;
  headers: IncomingHttpHeaders;
  body: Buffer;
  /** the body as text */
  text: string;
  /** the body as JSON; undefined where it is none */
  json: unknown;
  /** the body's lines as JSON, where it has several */
  lines: unknown[];
}

export interface Question {
  headers?: Record<string, string>;
  /** an object is sent as JSON */
  body?: unknown;
}

/** Asks once, over a connection of its own, and reads the answer to its end. */
export async function ask(
  server: Pick<TestServer, 'socket'>,
  method: string,
  path: string,
  question: Question = {},
): Promise<Reply> {
  const { head, stream } = await begin(server, method, path, question);
  const chunks: Buffer[] = [];
  for await (const chunk of stream) chunks.push(chunk as Buffer);
  const body = Buffer.concat(chunks);
  const text = body.toString();
  return { ...head, body, text, json: parsed(text), lines: text.trimEnd().split('\n').map(parsed) };
}

/** Asks, and gives the answer back as soon as its head is there: events, logs, wait. */
export async function begin(
  { socket }: Pick<TestServer, 'socket'>,
  method: string,
  path: string,
  { headers = {}, body }: Question = {},
): Promise<{ head: { status: number; headers: IncomingHttpHeaders }; stream: Readable; leave(): void }> {
  const isBytes = body === undefined || typeof body === 'string' || body instanceof Uint8Array;
  const bytes = isBytes ? body : JSON.stringify(body);
  const asked = request({
    socketPath: socket,
    method,
    path,
    agent: false,
    headers: {
      ...(isBytes ? {} : { 'Content-Type': 'application/json' }),
      ...(bytes === undefined ? {} : { 'Content-Length': Buffer.byteLength(bytes) }),
      ...headers,
    },
  });
  asked.end(bytes);
  const [response] = (await once(asked, 'response')) as [import('node:http').IncomingMessage];
  // The server may end while the rest of a body that it did not want is still on its way.
  asked.on('error', () => {});
  return {
    head: { status: response.statusCode!, headers: response.headers },
    stream: response,
    leave: () => void asked.destroy(),
  };
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return undefined;
  }
}

/** A connection on which a test writes what it likes. It stays half open: reading to the end is the test's. */
export async function dial({ socket }: Pick<TestServer, 'socket'>): Promise<Socket> {
  const connection = connect({ path: socket, allowHalfOpen: true });
  await once(connection, 'connect');
  return connection;
}

/** Takes a connection over, as attach and exec do. @returns the answer's head as text, and the stream behind it */
export async function hijack(
  server: Pick<TestServer, 'socket'>,
  path: string,
  { body, headers = {}, upgrade = true }: { body?: unknown; headers?: Record<string, string>; upgrade?: boolean } = {},
): Promise<{ head: string; stream: Socket }> {
  const stream = await dial(server);
  const text = body === undefined ? '' : JSON.stringify(body);
  const lines = Object.entries({
    Host: 'docker',
    ...(upgrade ? { Connection: 'Upgrade', Upgrade: 'tcp' } : {}),
    ...(text === '' ? {} : { 'Content-Type': 'application/json' }),
    'Content-Length': String(Buffer.byteLength(text)),
    ...headers,
  }).map(([name, value]) => `${name}: ${value}\r\n`);
  stream.write(`POST ${path} HTTP/1.1\r\n${lines.join('')}\r\n${text}`);
  return { head: await readHead(stream), stream };
}

/** Reads up to the blank line of an answer's head; what follows is put back. */
export async function readHead(stream: Socket): Promise<string> {
  let bytes = Buffer.alloc(0);
  for (;;) {
    const chunk = stream.read() as Buffer | null;
    if (chunk === null) {
      if (stream.readableEnded) return bytes.toString('latin1');
      await Promise.race([once(stream, 'readable'), once(stream, 'end')]);
      continue;
    }
    bytes = Buffer.concat([bytes, chunk]);
    const at = bytes.indexOf('\r\n\r\n');
    if (at === -1) continue;
    if (at + 4 < bytes.length) stream.unshift(bytes.subarray(at + 4));
    return bytes.subarray(0, at).toString('latin1');
  }
}

/** Reads a stream to its end. */
export async function readAll(stream: Readable): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of stream) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks);
}

/** Takes multiplexed frames apart: `[[1, 'out'], [2, 'err']]`, neighbours of one stream joined. */
export function framesIn(bytes: Buffer): [stream: number, text: string][] {
  const found: [number, string][] = [];
  for (let at = 0; at < bytes.length;) {
    const length = bytes.readUInt32BE(at + 4);
    const text = bytes.subarray(at + 8, at + 8 + length).toString();
    const last = found.at(-1);
    if (last && last[0] === bytes[at]) last[1] += text;
    else found.push([bytes[at]!, text]);
    at += 8 + length;
  }
  return found;
}
