import test from 'ava';
import { framed, MessageDecoder } from '../../../src/network/names/stream-messages.ts';

const messages = [Buffer.from('a'), Buffer.alloc(65_535, 'b'), Buffer.from('ccc'), Buffer.alloc(300, 'd')];
const stream = Buffer.concat(messages.map(framed));

for (const [what, size] of [
  ['a byte at a time', 1],
  ['whole', stream.length],
  ['three bytes at a time', 3],
  ['in pieces of 64 KiB', 65_536],
] as const)
  test(`messages come out of a stream as they went in: ${what}`, (t) => {
    const decoder = new MessageDecoder();
    const out: Buffer[] = [];
    for (let at = 0; at < stream.length; at += size) out.push(...decoder.push(stream.subarray(at, at + size)));
    t.deepEqual(out, messages);
  });

test('what is not whole is not there', (t) => {
  const decoder = new MessageDecoder();
  t.deepEqual([...decoder.push(framed(Buffer.from('abc')).subarray(0, 4))], []);
  t.deepEqual([...decoder.push(Buffer.from('c'))], [Buffer.from('abc')]);
});

test('a message of nothing is none', (t) => {
  t.deepEqual([...new MessageDecoder().push(Buffer.from('\0\0\0\0\0\x01a'))], [Buffer.from('a')]);
});
