/** Frames of two outputs over one connection, for a client that reads slowly too. */
import { once } from 'node:events';
import { PassThrough } from 'node:stream';
import test from 'ava';
import { bytesOf, frame, frames, framesOf, STDERR, STDOUT, StreamWriter } from '../../../src/service/http/multiplex.ts';
import { framesIn, readAll } from '../fixture.ts';

const KIB = 1024;

test("a frame's header: stream, three zeros, length", (t) => {
  t.deepEqual([...frame(STDOUT, Buffer.from('hi'))], [1, 0, 0, 0, 0, 0, 0, 2, 0x68, 0x69]);
  t.deepEqual([...frame(STDERR, Buffer.alloc(0))], [2, 0, 0, 0, 0, 0, 0, 0]);
  t.deepEqual([...frame(STDOUT, Buffer.alloc(0x10203)).subarray(0, 8)], [1, 0, 0, 0, 0, 1, 2, 3]);
});

for (const [size, expected] of [
  [0, []],
  [1, [1]],
  [32 * KIB, [32 * KIB]],
  [32 * KIB + 1, [32 * KIB, 1]],
  [100 * KIB, [32 * KIB, 32 * KIB, 32 * KIB, 4 * KIB]],
] as const)
  test(`${size} bytes are frames of at most 32 KiB`, (t) => {
    const bytes = frames(STDOUT, Buffer.alloc(size, 'x'));
    const lengths: number[] = [];
    for (let at = 0; at < bytes.length; at += 8 + lengths.at(-1)!) lengths.push(bytes.readUInt32BE(at + 4));
    t.deepEqual(lengths, [...expected]);
  });

test('frames of many payloads are those of each', (t) => {
  const contents = [
    'a\n',
    '',
    'é\n',
    '\ud800',
    Buffer.from([0xff, 0x0a]),
    'ü'.repeat(20 * KIB),
    Buffer.alloc(40 * KIB, 'x'),
  ];
  const payloads = contents.map((content, at) => ({ stream: at % 2 ? STDERR : STDOUT, content }));
  const each = payloads.map(({ stream, content }) => frames(stream, Buffer.from(content as string)));
  t.deepEqual(framesOf(payloads), Buffer.concat(each));
  t.deepEqual(bytesOf(payloads), Buffer.concat(contents.map((content) => Buffer.from(content as string))));
  t.is(framesOf([]).length, 0);
});

test('two outputs never mix within a frame', async (t) => {
  const to = new PassThrough({ highWaterMark: 1 });
  const writer = new StreamWriter(to, { multiplexed: true, signal: new AbortController().signal });
  const all = readAll(to);
  const out = Array.from({ length: 50 }, (_, at) => Buffer.alloc(40_000, String(at % 10)));
  const error = Array.from({ length: 50 }, () => Buffer.alloc(100, 'e'));
  await Promise.all([
    writer.copy(
      STDOUT,
      (async function* () {
        yield* out;
      })(),
    ),
    writer.copy(
      STDERR,
      (async function* () {
        yield* error;
      })(),
    ),
  ]);
  to.end();
  const found = framesIn(await all);
  const text = (stream: number) => found.flatMap(([from, part]) => (from === stream ? [part] : [])).join('');
  t.is(text(STDOUT), Buffer.concat(out).toString());
  t.is(text(STDERR), Buffer.concat(error).toString());
});

test('raw: the bytes as they are', async (t) => {
  const to = new PassThrough();
  const writer = new StreamWriter(to, { multiplexed: false, signal: new AbortController().signal });
  await writer.write(STDOUT, Buffer.from('a'));
  await writer.write(STDERR, Buffer.from('b'));
  to.end();
  t.is((await readAll(to)).toString(), 'ab');
});

test('a writer waits for a slow client, and holds no more than one piece', async (t) => {
  const to = new PassThrough({ highWaterMark: 16 * KIB });
  const writer = new StreamWriter(to, { multiplexed: true, signal: new AbortController().signal });
  let read = 0;
  const endless = (async function* () {
    for (;;) {
      read++;
      yield Buffer.alloc(32 * KIB);
    }
  })();
  const copying = writer.copy(STDOUT, endless);
  await once(to, 'readable');
  // Nothing is read: the loop has nothing to go on by.
  await new Promise((resolve) => setImmediate(resolve));
  await new Promise((resolve) => setImmediate(resolve));
  t.true(read <= 2, `${read} pieces`);
  t.true(to.readableLength <= 128 * KIB, `${to.readableLength} bytes`);
  void copying;
});

test('a client that has gone ends the copy, also one that waits', async (t) => {
  const gone = new AbortController();
  const to = new PassThrough({ highWaterMark: 1 });
  const writer = new StreamWriter(to, { multiplexed: true, signal: gone.signal });
  let ended = false;
  const copying = writer.copy(
    STDOUT,
    (async function* () {
      try {
        for (;;) yield Buffer.alloc(10);
      } finally {
        ended = true;
      }
    })(),
  );
  await once(to, 'readable');
  gone.abort();
  await copying;
  t.true(ended);
});
