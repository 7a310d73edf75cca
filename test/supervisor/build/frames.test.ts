/** Frames between a build and the monitor of its machine, cut in any way; and what no frame may be. */
import test from 'ava';
import { FRAME, FrameReader, frames, type FrameKind } from '../../../src/supervisor/build/frames.ts';

const encoded = (kind: FrameKind, id: number, content: Uint8Array): Buffer =>
  Buffer.concat([...frames(kind, id, content)]);
const read = (reader: FrameReader, bytes: Buffer, size: number) => {
  const found = [];
  for (let at = 0; at < bytes.length; at += size)
    for (const { kind, id, content } of reader.push(bytes.subarray(at, at + size)))
      found.push([kind, id, content.toString('latin1')]);
  return found;
};

for (const size of [1, 3, 9, 10, 1000])
  test(`frames come out as they went in, in pieces of ${size}`, (t) => {
    const bytes = Buffer.concat([
      encoded(FRAME.ANSWER, 7, Buffer.from('{"a":1}')),
      encoded(FRAME.END, 0xffffffff, new Uint8Array()),
      encoded(FRAME.DATA, 0, Buffer.alloc(300, 'x')),
    ]);
    t.deepEqual(read(new FrameReader(1 << 20), bytes, size), [
      [FRAME.ANSWER, 7, '{"a":1}'],
      [FRAME.END, 0xffffffff, ''],
      [FRAME.DATA, 0, 'x'.repeat(300)],
    ]);
  });

test('long data are several frames, and a long answer is one', (t) => {
  const lengths = (kind: FrameKind) =>
    read(new FrameReader(4 << 20), encoded(kind, 1, Buffer.alloc(600_000)), 1 << 16).map(
      ([, , text]) => String(text).length,
    );
  t.deepEqual(lengths(FRAME.DATA), [262_144, 262_144, 75_712]);
  t.deepEqual(lengths(FRAME.ANSWER), [600_000]);
});

const header = (length: number, kind: number): Buffer => {
  const bytes = Buffer.alloc(9);
  bytes.writeUInt32LE(length, 0);
  bytes.writeUInt8(kind, 4);
  return bytes;
};
for (const [what, bytes] of [
  ['without an id', header(4, FRAME.DATA)],
  ['of nothing', header(0, FRAME.DATA)],
  ['over the bound', header(106, FRAME.DATA)],
  ['of 4 GiB', header(0xffffffff, FRAME.DATA)],
  ['of an unknown kind', header(10, 99)],
] as const)
  test(`a frame ${what} is refused before it is kept`, (t) => {
    const error = t.throws(() => [...new FrameReader(100).push(bytes)]);
    t.regex(error.message, /^the monitor of a virtual machine sent a frame of kind \d+ and \d+ bytes$/);
  });
