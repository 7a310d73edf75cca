/** What the program that fetches says: any pieces make the same frames, and what makes no sense is refused. */
import test from 'ava';
import { HuskError } from '../../../../src/errors.ts';
import {
  dataFrames,
  messageFrame,
  parseSaid,
  readFrames,
  type Frame,
  type Said,
} from '../../../../src/engine/build/fetch/frames.ts';

async function framesOf(bytes: Buffer, piece: number): Promise<Frame[]> {
  const pieces = async function* () {
    for (let at = 0; at < bytes.length; at += piece) yield bytes.subarray(at, at + piece);
  };
  const frames: Frame[] = [];
  for await (const frame of readFrames(pieces()))
    frames.push('data' in frame ? { data: Buffer.from(frame.data) } : frame);
  return frames;
}

const SAID: Said[] = [
  { type: 'answer', unchanged: false, etag: '"x"', lastModified: 'then', size: 3 },
  { type: 'answer', unchanged: true },
  { type: 'commit', commit: 'a'.repeat(40) },
  { type: 'note', text: 'ü' },
  { type: 'failed', kind: 'limit', message: 'm', fix: 'f' },
  { type: 'done' },
];

test('frames come out as they went in, in whatever pieces', async (t) => {
  const bytes = Buffer.concat([
    ...SAID.map(messageFrame),
    ...dataFrames(Buffer.from('abc')),
    messageFrame({ type: 'done' }),
  ]);
  const expected = [...SAID.map((said) => ({ said })), { data: Buffer.from('abc') }, { said: { type: 'done' } }];
  for (const piece of [1, 2, 5, 7, 64, bytes.length]) t.deepEqual(await framesOf(bytes, piece), expected as Frame[]);
});

test('a long piece is several frames', async (t) => {
  const bytes = Buffer.alloc((2 << 20) + 1, 7);
  const frames = await framesOf(Buffer.concat([...dataFrames(bytes)]), 100_000);
  t.deepEqual(Buffer.concat(frames.map((frame) => ('data' in frame ? frame.data : Buffer.alloc(0)))), bytes);
});

test('a frame that is cut off is none', async (t) => {
  t.deepEqual(await framesOf(messageFrame({ type: 'done' }).subarray(0, -1), 3), []);
});

const HOSTILE: [what: string, bytes: Buffer][] = [
  ['an unknown type', Buffer.from([9, 0, 0, 0, 0])],
  ['an endless message', Buffer.from([1, 0, 1, 0, 1])],
  ['endless data', Buffer.from([2, 0xff, 0xff, 0xff, 0xff])],
];
for (const [what, bytes] of HOSTILE)
  test(`is refused: ${what}`, async (t) => {
    const error = await t.throwsAsync(framesOf(bytes, 5), { instanceOf: HuskError });
    t.is(error.kind, 'corrupt');
  });

for (const text of [
  '',
  'null',
  '[]',
  '{"type":"answer"}',
  '{"type":"answer","unchanged":true,"size":-1}',
  '{"type":"answer","unchanged":true,"size":1e300}',
  '{"type":"answer","unchanged":true,"etag":1}',
  '{"type":"commit","commit":"main"}',
  '{"type":"commit","commit":"../../x"}',
  '{"type":"failed","kind":"start-failed","message":""}',
  '{"type":"failed","kind":"__proto__","message":""}',
  `{"type":"note","text":"${'x'.repeat(5000)}"}`,
  '{"type":"toString"}',
])
  test(`is refused: ${text.slice(0, 60)}`, (t) => {
    t.is(t.throws(() => parseSaid(text), { instanceOf: HuskError }).kind, 'corrupt');
  });

test('bytes at random are frames or refused, and nothing else', async (t) => {
  let random = 11;
  const next = (limit: number) => (random = (random * 48_271) % 2_147_483_647) % limit;
  const whole = Buffer.concat([...SAID.map(messageFrame), ...dataFrames(Buffer.from('abc'))]);
  for (let round = 0; round < 500; round++) {
    const bytes = Buffer.from(whole);
    for (let changes = 1 + next(4); changes > 0; changes--) bytes[next(bytes.length)] = next(256);
    await framesOf(bytes, 1 + next(50)).catch((error: unknown) => t.true(error instanceof HuskError, String(error)));
  }
  t.pass();
});
