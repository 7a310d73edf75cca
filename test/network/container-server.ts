/**
 * A container's servers, for tests of the forwarder: each port behaves in its own way. Not a test itself; says `ready`
 * when it listens, and then what it sees of resets. Ends with its stdin.
 */
import { createHash } from 'node:crypto';
import { createSocket } from 'node:dgram';
import { createServer, type Socket } from 'node:net';

export const WHO = 80;
export const SINK = 81;
export const SOURCE = 82;
export const RESET = 83;
export const ECHO = 84;
/** as SINK, which reads nothing until somebody comes to READ_NOW */
export const STUCK = 85;
export const READ_NOW = 86;
export const DATAGRAMS = 53;
export const NOBODY = 99;
export const MIB = 1 << 20;
/** bytes of SOURCE */
export const AMOUNT = 64 * MIB;
/** what SOURCE sends again and again, and clients send to SINK: no power of two, so that a lost part is seen */
export const PATTERN = Buffer.from(Array.from({ length: 65_521 }, (_, index) => (index * 7919) >> 3));

/** PATTERN for as many bytes */
export function* patterns(amount: number): Generator<Buffer> {
  for (let left = amount; left > 0; left -= PATTERN.length) yield PATTERN.subarray(0, left);
}

export function digestOf(amount: number): string {
  const hash = createHash('sha256');
  for (const part of patterns(amount)) hash.update(part);
  return `${amount} ${hash.digest('hex')}`;
}

/** writes without holding it all */
export async function writePatterns(socket: Socket, amount: number): Promise<void> {
  for (const part of patterns(amount))
    if (!socket.write(part)) {
      await new Promise<void>((resolve) => {
        const done = () => {
          socket.off('drain', done).off('close', done);
          resolve();
        };
        socket.on('drain', done).on('close', done);
      });
      if (socket.destroyed) return;
    }
}

function sink(socket: Socket): void {
  const hash = createHash('sha256');
  let amount = 0;
  socket.on('data', (part) => {
    hash.update(part);
    amount += part.length;
  });
  socket.on('end', () => socket.end(`${amount} ${hash.digest('hex')}`));
}

function serve(): void {
  const stuck: Socket[] = [];
  const behaviours: Record<number, (socket: Socket) => void> = {
    [WHO]: (socket) => socket.end(`${socket.remoteAddress!.replace('::ffff:', '')} ${socket.remotePort}`),
    [SINK]: sink,
    [SOURCE]: (socket) => void writePatterns(socket, AMOUNT).then(() => socket.end()),
    [RESET]: (socket) => socket.once('data', () => socket.resetAndDestroy()),
    [ECHO]: (socket) => {
      socket.pipe(socket);
      socket.on('error', (error) => console.log(`echo ${(error as NodeJS.ErrnoException).code}`));
    },
    [STUCK]: (socket) => void stuck.push(socket),
    [READ_NOW]: (socket) => {
      for (const one of stuck.splice(0)) sink(one);
      socket.end('reading');
    },
  };
  let waiting = Object.keys(behaviours).length + 1;
  const listening = () => {
    if (--waiting === 0) console.log('ready');
  };
  for (const [port, behave] of Object.entries(behaviours))
    createServer({ allowHalfOpen: true }, (socket) => {
      socket.on('error', () => {});
      behave(socket);
    }).listen(Number(port), '::', listening);
  const datagrams = createSocket('udp6', (message, { address, port }) =>
    datagrams.send(`${address.replace('::ffff:', '')} ${port} ${message}`, port, address),
  );
  datagrams.bind(DATAGRAMS, '::', listening);
  process.stdin.on('end', () => process.exit(0)).resume();
}

if (import.meta.main) serve();
