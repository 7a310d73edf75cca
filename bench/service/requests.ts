/**
 * Requests without a client's program or library: a connection that asks and reads answers to their ends, with so
 * little work of its own that what is timed is the server's.
 */
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { median } from '../measure.ts';

const OK = 'HTTP/1.1 200 ';

/** Asks once on a connection that is kept. @throws Error where the answer is no 200, or does not end */
function get(connection: Socket, path: string): Promise<void> {
  let answer = '';
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const onData = (chunk: Buffer): void => {
    answer += chunk.toString('latin1');
    if (isWhole(answer)) resolve();
  };
  const onClose = (): void => reject(new Error(`GET ${path}: the connection ended after ${answer.length} bytes`));
  connection.on('data', onData).once('close', onClose);
  connection.write(`GET ${path} HTTP/1.1\r\nHost: docker\r\n\r\n`);
  return promise
    .then(() => {
      if (!answer.startsWith(OK)) throw new Error(`GET ${path}: ${answer.split('\r\n', 1)[0]}`);
    })
    .finally(() => connection.off('data', onData).off('close', onClose));
}

/** Both engines send short answers with their length, and Docker's sends longer ones in chunks. */
function isWhole(answer: string): boolean {
  const head = answer.indexOf('\r\n\r\n');
  if (head === -1) return false;
  const length = /^content-length: (\d+)/im.exec(answer.slice(0, head))?.[1];
  return length === undefined ? answer.endsWith('\r\n0\r\n\r\n') : answer.length >= head + 4 + Number(length);
}

async function open(socket: string): Promise<Socket> {
  const connection = connect(socket);
  await once(connection, 'connect');
  return connection;
}

/** ms, the median of `count` requests one after another on one connection. */
export async function inSequence(socket: string, paths: readonly string[], count: number): Promise<number> {
  using connection = disposable(await open(socket));
  const times: number[] = [];
  for (let at = 0; at < count; at++) {
    const start = performance.now();
    await get(connection.socket, paths[at % paths.length]!);
    times.push(performance.now() - start);
  }
  return median(times);
}

/** ms until the last of `count` clients, each on a connection of its own, has its answer; all begin at once. */
export async function atOnce(socket: string, path: string, count: number): Promise<number> {
  const start = performance.now();
  await Promise.all(
    Array.from({ length: count }, async () => {
      using connection = disposable(await open(socket));
      await get(connection.socket, path);
    }),
  );
  return performance.now() - start;
}

const disposable = (socket: Socket): Disposable & { socket: Socket } => ({
  socket,
  [Symbol.dispose]: () => void socket.destroy(),
});
