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

test('the end of a process is held up by nobody, and its client gets all the same what it wrote last', async (t) => {
  const source = new PassThrough({ highWaterMark: 4 * CLIENT_BUFFER });
  const fan = new FanOut();
  const [stuck, log] = [new FakeListener(), new FakeListener()];
  fan.addSource(source, 'stdout');
  fan.add(stuck);
  source.write(Buffer.alloc(CLIENT_BUFFER + 1));
  await tick();
  source.end(Buffer.alloc(CLIENT_BUFFER));
  await tick();
  t.true(source.isPaused());
  fan.add(log);
  fan.ending();
  await fan.drained(60_000);
  t.is(log.buffered, CLIENT_BUFFER);
  t.is(stuck.buffered, 2 * CLIENT_BUFFER + 1);
  t.is(stuck.dropped, undefined);
});

test('a writer that outlives the process does not fill the memory for a client that does not read', async (t) => {
  const source = new PassThrough();
  const fan = new FanOut();
  const stuck = new FakeListener();
  fan.addSource(source, 'stdout');
  fan.add(stuck);
  fan.ending();
  for (let part = 0; part < 20; part++) {
    source.write(Buffer.alloc(CLIENT_BUFFER));
    await tick(0);
  }
  t.regex(stuck.dropped!, /does not read/);
  t.true(stuck.buffered < 10 * CLIENT_BUFFER, `${stuck.buffered} bytes`);
});

test('drained: whoever writes on and on is not listened to for ever', async (t) => {
  const source = new PassThrough();
  const fan = new FanOut();
  fan.addSource(source, 'stdout');
  const writing = setInterval(() => source.write('x'), 5);
  await fan.drained(60_000, 100);
  clearInterval(writing);
  t.false(source.readableEnded);
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
