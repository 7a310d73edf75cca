import { mkdtempSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import test from 'ava';
import { heldBack, holdBack, toHoldBack } from '../../src/guest-agent/held-back.ts';

for (const [title, facts, length] of [
  ['all beyond the size', { total: 64, free: 60, held: 0, size: 10 }, 54],
  ['held already', { total: 64, free: 6, held: 54, size: 10 }, undefined],
  ['half of it, by one that was killed', { total: 64, free: 30, held: 30, size: 10 }, 54],
  ['what the container has already is not taken away', { total: 64, free: 20, held: 0, size: 10 }, 20],
  ['a size beyond the disk', { total: 64, free: 60, held: 0, size: 100 }, undefined],
] as const)
  test(title, (t) => t.is(toHoldBack(facts), length));

test('blocks are allocated beside the layer, and counted', (t) => {
  const folder = mkdtempSync('/var/tmp/husk-held-');
  t.teardown(() => rmSync(folder, { recursive: true, force: true }));
  t.is(heldBack(folder), 0);
  // a size that leaves this disk as it is
  holdBack(folder, Number.MAX_SAFE_INTEGER);
  t.is(statSync(join(folder, 'beyond-its-size'), { throwIfNoEntry: false }), undefined);
});
