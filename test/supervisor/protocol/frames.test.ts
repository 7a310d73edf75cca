/** The frame decoder against any bytes in any cut. */
import { randomBytes, randomInt } from 'node:crypto';
import test from 'ava';
import {
  decodeMessage,
  encodeFrame,
  encodeMessage,
  encodeStream,
  FrameDecoder,
} from '../../../src/supervisor/protocol/frames.ts';
import { FRAME_STDOUT, MAX_FRAME, MAX_STREAM_FRAME } from '../../../src/supervisor/protocol/protocol.ts';

function decode(bytes: Buffer, cut: () => number): { kind: number; payload: Buffer }[] {
  const decoder = new FrameDecoder();
  const frames: { kind: number; payload: Buffer }[] = [];
  for (let start = 0; start < bytes.length;) {
    const end = start + cut();
    for (const { kind, payload } of decoder.push(bytes.subarray(start, end)))
      frames.push({ kind, payload: Buffer.from(payload) });
    start = end;
  }
  return frames;
}

for (const [name, cut] of [
  ['byte by byte', () => 1],
  ['whole', () => 1 << 24],
  ['at random', () => randomInt(1, 5000)],
] as const) {
  test(`frames survive any cut: ${name}`, (t) => {
    const frames = Array.from({ length: 40 }, () => ({
      kind: randomInt(0, 4),
      payload: randomBytes(randomInt(0, 3000)),
    }));
    t.deepEqual(decode(Buffer.concat(frames.map(({ kind, payload }) => encodeFrame(kind, payload))), cut), frames);
  });
}

test('a stream of any length becomes frames within the bound', (t) => {
  const bytes = randomBytes(2 * MAX_STREAM_FRAME + 17);
  const frames = [...encodeStream(FRAME_STDOUT, bytes)];
  t.is(frames.length, 3);
  t.deepEqual(Buffer.concat(decode(Buffer.concat(frames), () => 70_000).map(({ payload }) => payload)), bytes);
});

test('a frame over the bound is not built', (t) => {
  t.throws(() => encodeFrame(FRAME_STDOUT, Buffer.alloc(MAX_FRAME)), { message: /over the bound/ });
});

for (const [what, message, says] of [
  [
    'an environment',
    { task: { spec: { process: { env: ['A=1'.padEnd(MAX_FRAME)], args: ['x'] } } } },
    /^the environment \(-e, .*\) is too large: \d+ bytes of a request of \d+, which may have 67108864$/,
  ],
  [
    'labels',
    { task: { log: { container: { labels: { a: ''.padEnd(MAX_FRAME) } } } } },
    /^the labels \(.*\) are too large: \d+ bytes/,
  ],
] as const)
  test(`a message over the bound says what is too large: ${what}`, (t) => {
    t.throws(() => encodeMessage(message), { message: says });
  });

for (const [name, bytes, message] of [
  ['length 0', [0, 0, 0, 0, 0], /length 0 is outside/],
  ['length over the bound', [1, 0, 0, 4, 0], /length 67108865 is outside/],
  ['length 4 GiB', [255, 255, 255, 255, 0], /outside/],
  ['unknown kind', [1, 0, 0, 0, 9], /kind 9 is unknown/],
] as const) {
  test(`refused: ${name}`, (t) => {
    t.throws(() => [...new FrameDecoder().push(Buffer.from(bytes))], { message });
  });
}

test('a torn frame yields nothing and stays counted', (t) => {
  const decoder = new FrameDecoder();
  t.deepEqual([...decoder.push(encodeFrame(1, Buffer.from('whole')).subarray(0, 7))], []);
  t.is(decoder.buffered, 7);
});

for (const [name, payload] of [
  ['no JSON', '{'],
  ['no object', '3'],
  ['null', 'null'],
  ['no type', '{"a":1}'],
  ['type of the wrong kind', '{"type":1}'],
] as const) {
  test(`a message refused: ${name}`, (t) => {
    t.throws(() => decodeMessage(Buffer.from(payload)), { name: 'HuskError' });
  });
}

test('fuzz: random bytes give frames or an error, and never more than one frame of memory', (t) => {
  for (let round = 0; round < 3000; round++) {
    const decoder = new FrameDecoder();
    const valid = encodeMessage({ type: 'resize', columns: 1, rows: 2 });
    const bytes = randomBytes(randomInt(4, 200));
    // half of them begin well
    const input = round % 2 ? Buffer.concat([valid, bytes]) : bytes;
    if (round % 3 === 0) input.writeUInt32LE(randomInt(0, 40), 0);
    try {
      for (let start = 0; start < input.length; start += 7)
        for (const { payload } of decoder.push(input.subarray(start, start + 7))) t.true(payload.length < MAX_FRAME);
      t.true(decoder.buffered <= MAX_FRAME + 4);
    } catch (error) {
      t.is((error as Error).name, 'HuskError');
    }
  }
});
