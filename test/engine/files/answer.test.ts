/** The container's word about its files: what is no answer is told as one line, however it comes in. */
import { Readable } from 'node:stream';
import test from 'ava';
import { checkHeader, firstLine, readChanges } from '../../../src/engine/files/answer.ts';
import type { FilesRequest } from '../../../src/sandbox.ts';

const bytes = (...chunks: (string | Buffer)[]): Readable =>
  Readable.from(
    chunks.map((chunk) => Buffer.from(chunk)),
    { objectMode: false },
  );
const text = async (stream: Readable): Promise<string> => String(Buffer.concat(await stream.toArray()));

for (const chunks of [['{"a":1}\nrest\nmore'], ['{"a"', ':1}', '\n', 'rest\nmore'], ['{"a":1}\nre', 'st\nmore']])
  test(`a line, and what is behind it: ${JSON.stringify(chunks)}`, async (t) => {
    const stream = bytes(...chunks);
    t.is(await firstLine(stream), '{"a":1}');
    t.is(await text(stream), 'rest\nmore');
  });

test('no line: it ends, or goes on without end', async (t) => {
  await t.throwsAsync(firstLine(bytes('{}')), { message: /it ended before it began/ });
  await t.throwsAsync(firstLine(bytes('x'.repeat(70_000))), { message: /its first line is longer than 65536 bytes/ });
});

const STAT = { name: 'a', size: 1, mode: 0o100644, mtime: -5, mtimeNanoseconds: 7, linkTarget: '' };
const STAT_REQUEST: FilesRequest = { op: 'stat', path: '/a' };

test('a header has what was asked for, and nothing besides', (t) => {
  t.deepEqual(checkHeader(JSON.stringify({ stat: { ...STAT, more: 1 }, size: 2 }), STAT_REQUEST), { stat: STAT });
  t.deepEqual(checkHeader('{"size":2}', { op: 'size' }), { size: 2 });
  t.deepEqual(checkHeader('{"size":"x"}', { op: 'changes' }), {});
});

for (const [line, request, message] of [
  ['', STAT_REQUEST, /its first line is not JSON/],
  ['null', STAT_REQUEST, /there is no stat/],
  ['{"stat":null}', STAT_REQUEST, /there is no stat/],
  [JSON.stringify({ stat: { ...STAT, mtime: 1.5 } }), STAT_REQUEST, /there is no stat/],
  [JSON.stringify({ stat: { ...STAT, size: -1 } }), STAT_REQUEST, /a size is no number/],
  [JSON.stringify({ stat: { ...STAT, mode: 2 ** 60 } }), STAT_REQUEST, /a mode is no number/],
  ['{"size":null}', { op: 'size' }, /the size is no number/],
] as const)
  test(`refused: ${line}`, (t) => t.throws(() => checkHeader(line, request), { message }));

test('changes come by their paths, however they are cut', async (t) => {
  const listing = ['C/b\0A/a', '/ü', '\0D/', 'c\0'];
  t.deepEqual(await readChanges(bytes(...listing)), [
    { kind: 'A', path: '/a/ü' },
    { kind: 'C', path: '/b' },
    { kind: 'D', path: '/c' },
  ]);
});

for (const [listing, message] of [
  ['X/a\0', /a change of no kind/],
  ['Aa\0', /a change of no kind/],
  [`A/${'x'.repeat(9000)}`, /a change without end/],
] as const)
  test(`no change: ${listing.slice(0, 8)}`, async (t) => {
    await t.throwsAsync(readChanges(bytes(listing)), { message });
  });
