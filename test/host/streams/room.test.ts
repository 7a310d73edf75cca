/** Waiting for room in a stream: it ends with what ends the stream, and nothing listens afterwards. */
import { PassThrough } from 'node:stream';
import test from 'ava';
import { roomIn } from '../../../src/host/streams/room.ts';

const ENDS: [what: string, end: (stream: PassThrough) => void][] = [
  ['it is read', (stream) => stream.resume()],
  ['it is closed', (stream) => stream.destroy()],
  ['it fails', (stream) => stream.destroy(new Error('gone'))],
];
for (const [what, end] of ENDS)
  test(`who waits for room goes on when ${what}`, async (t) => {
    const stream = new PassThrough({ highWaterMark: 1 });
    stream.on('error', () => {});
    const listening = (): number[] => ['drain', 'close', 'error'].map((name) => stream.listenerCount(name));
    const before = listening();
    stream.write('ab');
    let isOver = false;
    const waited = roomIn(stream).then(() => (isOver = true));
    await new Promise((turn) => setImmediate(turn));
    t.false(isOver);
    end(stream);
    await waited;
    t.deepEqual(listening(), before);
    await roomIn(stream);
  });
