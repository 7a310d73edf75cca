/**
 * Joins two streams, so that what one says the other hears, as if both were one socket: the end of one direction leaves
 * the other open, a side that takes no more can still be heard to its end, and when one side is gone altogether the
 * other goes too, after it has been given what was said before. At most one chunk is held each way beside what the
 * streams themselves hold.
 */
import type { Duplex } from 'node:stream';
import { startTimer } from '../../long-timer.ts';

/**
 * A side that may tell more than Node's streams do.
 *
 * - event `deaf`: it takes no more, and drops what is written
 * - `isHungUp`: nobody is at its other end. No event tells it once the other end has ended its own direction.
 */
export type Side = Duplex & { readonly isHungUp?: boolean };

/**
 * ms between two looks whether a side that has said all is still there to listen: nothing but the place that its
 * connection takes depends on it
 */
const LOOK = 1000;

export function joinStreams(one: Side, other: Side): void {
  connect(one, other);
  connect(other, one);
}

function connect(from: Side, to: Side): void {
  let [hasEnded, isDeaf] = [false, false];
  let cancel = () => {};
  const gone = () => {
    cancel();
    from.destroy();
    endAndDestroy(to);
  };
  const look = () => {
    if (from.isHungUp) gone();
    else if (from.isHungUp === false) cancel = startTimer(LOOK, look, { unref: true });
  };
  from.on('data', (chunk: Buffer) => {
    from.pause();
    // also of what could not be written: then it is read to its end, for nobody
    to.write(chunk, () => from.resume());
  });
  from.on('end', () => {
    hasEnded = true;
    to.end();
    if (isDeaf) gone();
    else look();
  });
  from.on('deaf', () => {
    isDeaf = true;
    if (hasEnded) gone();
  });
  from.on('error', () => {}); // its close follows
  from.on('close', () => {
    cancel();
    if (!hasEnded) endAndDestroy(to);
  });
  if (from.destroyed) endAndDestroy(to);
  else from.resume();
}

/** What was written goes out first. */
function endAndDestroy(stream: Duplex): void {
  if (stream.destroyed) return;
  if (stream.writableFinished) return void stream.destroy();
  stream.once('finish', () => stream.destroy());
  stream.end();
}
