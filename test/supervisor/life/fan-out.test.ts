/** Back-pressure: who may hold a container up, and for how long. */
import { writeSync } from 'node:fs';
import { Socket } from 'node:net';
import { PassThrough } from 'node:stream';
import test from 'ava';
import { pipe } from '../../../src/host/streams/pipe.ts';
import { CLIENT_BUFFER, FanOut, type Listener } from '../../../src/supervisor/life/fan-out.ts';

class FakeListener implements Listener {
  stallTimeout: number | undefined;
  buffered = 0;
  dropped: string | undefined;
  #drained: (() => void)[] = [];

  constructor(stallTimeout?: number) {
    this.stallTimeout = stallTimeout;
  }

  output(_stream: 'stdout' | 'stderr', chunk: Buffer): number {
    return (this.buffered += chunk.length);
  }

  onceDrained(callback: () => void): void {
    this.#drained.push(callback);
  }

  drop(message: string): void {
    this.dropped = message;
  }

  drain(): void {
    this.buffered = 0;
    for (const callback of this.#drained.splice(0)) callback();
  }
}

const tick = (ms = 5) => new Promise((after) => setTimeout(after, ms));

test('a full client pauses the source until it has drained', async (t) => {
  const source = new PassThrough();
  const fan = new FanOut();
  const slow = new FakeListener();
  const quick = new FakeListener();
  fan.addSource(source, 'stdout');
  fan.add(slow);
  fan.add(quick);
  source.write(Buffer.alloc(CLIENT_BUFFER + 1));
  await tick();
  t.true(source.isPaused());
  source.write('more');
  await tick();
  t.is(quick.buffered, CLIENT_BUFFER + 1);
  slow.drain();
  quick.drain();
  await tick();
  t.is(quick.buffered, 4);
  t.is(slow.dropped, undefined);
});

test('a client that stands still is dropped, and the container goes on', async (t) => {
  const source = new PassThrough();
  const fan = new FanOut();
  const stuck = new FakeListener(30);
  fan.addSource(source, 'stdout');
  fan.add(stuck);
  source.write(Buffer.alloc(CLIENT_BUFFER + 1));
  await tick();
  t.true(source.isPaused());
  await tick(60);
  t.regex(stuck.dropped!, /does not read/);
  t.false(source.isPaused());
});

test('a client that goes away while full does not leave the source paused', async (t) => {
  const source = new PassThrough();
  const fan = new FanOut();
  const client = new FakeListener();
  fan.addSource(source, 'stdout');
  fan.add(client);
  source.write(Buffer.alloc(CLIENT_BUFFER + 1));
  await tick();
  fan.delete(client);
  t.false(source.isPaused());
});

test('drained: at the end of all sources, or after quiet when somebody holds one', async (t) => {
  const ended = new PassThrough();
  const held = new PassThrough();
  const fan = new FanOut();
  fan.addSource(ended, 'stdout');
  fan.addSource(held, 'stderr');
  ended.end('last');
  const before = Date.now();
  await fan.drained(50);
  t.true(Date.now() - before >= 45);
  held.end();
  await fan.drained(60_000);
  t.pass();
});

test('drained: what came while this process did not run is not lost', async (t) => {
  const { read, write } = pipe();
  const source = new Socket({ fd: read.release() });
  t.teardown(() => (source.destroy(), write.close()));
  const fan = new FanOut();
  const client = new FakeListener();
  fan.addSource(source, 'stdout');
  fan.add(client);
  // a turn of the event loop begins with timers
  await new Promise((turn) => setImmediate(turn));
  const over = fan.drained(20);
  writeSync(write.number, 'late');
  for (const start = Date.now(); Date.now() - start < 60;);
  await over;
  t.is(client.buffered, 4);
});
