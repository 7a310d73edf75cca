/**
 * Blobs of a layout that somebody else hands over: what lies about lengths or bytes is refused, and read no further.
 */
import { createHash } from 'node:crypto';
import test from 'ava';
import { LayoutBlobs } from '../../../src/images/archive/layout-blobs.ts';

const BLOB = Buffer.from('a blob of some length');
const digest = `sha256:${createHash('sha256').update(BLOB).digest('hex')}`;
const descriptor = { mediaType: 'x', digest, size: BLOB.length };

/** A layout whose every blob is of these pieces. @returns it, and how many were asked for */
function layoutOf(pieces: readonly Buffer[]): { layout: LayoutBlobs; given: () => number; ended: () => boolean } {
  let given = 0;
  let ended = false;
  const layout = new LayoutBlobs('n', {
    size: async (asked) => (asked === digest ? BLOB.length : undefined),
    async *read() {
      try {
        for (const piece of pieces) {
          given++;
          yield piece;
        }
      } finally {
        ended = true;
      }
    },
  });
  return { layout, given: () => given, ended: () => ended };
}

test('a blob is given as it comes', async (t) => {
  const { layout } = layoutOf([BLOB.subarray(0, 3), Buffer.alloc(0), BLOB.subarray(3)]);
  const counts: number[] = [];
  const chunks: Uint8Array[] = [];
  for await (const chunk of layout.blob(descriptor, { onBytes: (count) => counts.push(count) })) chunks.push(chunk);
  t.deepEqual(Buffer.concat(chunks), BLOB);
  t.deepEqual(counts, [3, 3, BLOB.length]);
  t.deepEqual(await layout.small(descriptor), BLOB);
  t.deepEqual([await layout.sizeOf(digest), await layout.sizeOf(`sha256:${'0'.repeat(64)}`)], [BLOB.length, undefined]);
});

const LIES: [what: string, pieces: Buffer[], message: RegExp][] = [
  ['nothing', [], /has not the 21 bytes/],
  ['less', [BLOB.subarray(1)], /has not the 21 bytes/],
  ['other bytes', [Buffer.alloc(BLOB.length, 'x')], /does not have the digest/],
  ['more, without end', Array.from({ length: 1000 }, () => BLOB), /has not the 21 bytes/],
];
for (const [what, pieces, message] of LIES)
  test(`refused, and read no further: ${what}`, async (t) => {
    const { layout, given, ended } = layoutOf(pieces);
    await t.throwsAsync(layout.small(descriptor), { message, name: 'HuskError' });
    t.true(given() <= 2);
    t.true(ended());
  });

test('a manifest that says that it is huge is not read', async (t) => {
  const { layout, given } = layoutOf([BLOB]);
  await t.throwsAsync(layout.small({ ...descriptor, size: 2 ** 40 }), { message: /is larger than/ });
  t.is(given(), 0);
});
