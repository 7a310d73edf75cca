/** The chunked coding before a stream: however it is split, and what is refused. */
import test from 'ava';
import { ChunkedBody } from '../../../src/service/http/chunked.ts';

/** @returns the body, and what came behind it */
function decode(bytes: string, at: number, limit = 100): [body: string, rest: string] {
  const decoder = new ChunkedBody(limit);
  const rest: string[] = [];
  for (const part of [bytes.slice(0, at), bytes.slice(at)]) {
    const buffer = Buffer.from(part, 'latin1');
    rest.push(buffer.subarray(decoder.done ? 0 : decoder.take(buffer)).toString('latin1'));
  }
  if (!decoder.done) throw new Error('not done');
  return [Buffer.concat(decoder.body).toString('latin1'), rest.join('')];
}

const READ: [coded: string, body: string, rest: string][] = [
  ['5\r\nhello\r\n0\r\n\r\n', 'hello', ''],
  ['0\r\n\r\nstdin', '', 'stdin'],
  ['A\r\n0123456789\r\n1\r\nx\r\n0\r\n\r\n0\r\n\r\n', '0123456789x', '0\r\n\r\n'],
  ['000002\r\n\r\n\r\n0\r\n\r\nGET /', '\r\n', 'GET /'],
];
for (const [coded, body, rest] of READ)
  test(`${JSON.stringify(coded)}, split at every byte`, (t) => {
    for (let at = 0; at <= coded.length; at++) t.deepEqual(decode(coded, at), [body, rest], `split at ${at}`);
  });

const REFUSED: [what: string, coded: string, message?: RegExp][] = [
  ['no size', '\r\n\r\n'],
  ['a sign', '-1\r\n'],
  ['0x', '0x5\r\n'],
  ['a space', '5 \r\n'],
  ['an extension', '5;a=b\r\n'],
  ['a bare line feed', '5\n'],
  ['a bare carriage return', '5\r5'],
  ['a size without end', '0000000000'],
  ['a chunk longer than its size', '1\r\nab'],
  ['a trailer', '0\r\nX: y\r\n\r\n'],
  ['more than the limit', '65\r\n', /larger than/],
  ['more than the limit in all', `64\r\n${'x'.repeat(100)}\r\n1\r\n`, /larger than/],
  ['a size of 32 bits', 'ffffffff\r\n', /larger than/],
];
for (const [what, coded, message = /^malformed chunked/] of REFUSED)
  test(`refused: ${what}`, (t) => {
    for (let at = 0; at <= coded.length; at++)
      t.throws(() => decode(coded, at), { name: 'HuskError', message }, `split at ${at}`);
  });
