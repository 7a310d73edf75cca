/** Waiting for a record: by the kernel's notice, by looking all the same, and not beyond its signal. */
import { appendFileSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { ChangeNotice, NOT_YET, untilFound } from '../../../src/engine/record/record-changes.ts';

/** far beyond any test: what ends earlier was not the timer */
const LONG_MS = 3_600_000;

function place(t: ExecutionContext, { log = true } = {}): { paths: { database: string }; write: () => void } {
  const folder = mkdtempSync(join(tmpdir(), 'husk-changes-'));
  t.teardown(() => rmSync(folder, { recursive: true }));
  const database = join(folder, 'husk.db');
  if (log) writeFileSync(`${database}-wal`, '');
  return { paths: { database }, write: () => appendFileSync(`${database}-wal`, 'x') };
}

test('what is there at the first look needs no watch', async (t) => {
  t.is(await untilFound({ paths: { database: '/nonexistent/husk.db' } }, () => 'found'), 'found');
});

test('what is written during a look is noticed, and what comes after it', async (t) => {
  const { paths, write } = place(t);
  using notice = new ChangeNotice(paths);
  const during = notice.next();
  write();
  await during(LONG_MS, undefined);
  const afterwards = notice.next()(LONG_MS, undefined);
  write();
  await afterwards;
  t.pass();
});

for (const log of [true, false])
  test(`looks again though nothing is written; a log to watch: ${log}`, async (t) => {
    let looks = 0;
    t.is(await untilFound(place(t, { log }), () => (++looks === 3 ? looks : NOT_YET)), 3);
  });

test('one look at a time, and none after the last', async (t) => {
  const { paths, write } = place(t);
  let [looks, atOnce, most] = [0, 0, 0];
  await untilFound({ paths }, async () => {
    most = Math.max(most, ++atOnce);
    write();
    await new Promise((turn) => setImmediate(turn));
    atOnce--;
    return ++looks === 5 ? undefined : NOT_YET;
  });
  t.deepEqual([looks, most, atOnce], [5, 1, 0]);
});

test('a signal ends it with its reason', async (t) => {
  const reason = new Error('given up');
  const controller = new AbortController();
  const waiting = untilFound(place(t), () => NOT_YET, { signal: controller.signal });
  controller.abort(reason);
  t.is(await t.throwsAsync(waiting), reason);
  t.is(await t.throwsAsync(untilFound(place(t), () => 1, { signal: controller.signal })), reason);
});
