/** One maker for each key: in this process, and after its holder is gone. */
import { readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'ava';
import { lockKey, sweepLocks } from '../../../src/engine/build/key-lock.ts';
import { temporaryFolder } from '../../fixtures/temporary.ts';

const KEY = 'a'.repeat(64);
const { signal } = new AbortController();

test('of many who ask at once one has the lock at a time, and its file goes with the last', async (t) => {
  const dataRoot = temporaryFolder('husk-key-lock-');
  let inside = 0;
  let most = 0;
  await Promise.all(
    Array.from({ length: 20 }, async () => {
      using _lock = await lockKey({ dataRoot }, KEY, { signal });
      most = Math.max(most, ++inside);
      await new Promise((resolve) => setImmediate(resolve));
      inside--;
    }),
  );
  t.is(most, 1);
  t.deepEqual(readdirSync(join(dataRoot, 'build-locks')), []);
});

test('other keys do not wait', async (t) => {
  const dataRoot = temporaryFolder('husk-key-lock-');
  using _one = await lockKey({ dataRoot }, KEY, { signal });
  using _other = await lockKey({ dataRoot }, 'b'.repeat(64), { signal });
  t.is(readdirSync(join(dataRoot, 'build-locks')).length, 2);
});

test('who waits is told once, and stops with the build', async (t) => {
  const dataRoot = temporaryFolder('husk-key-lock-');
  using _lock = await lockKey({ dataRoot }, KEY, { signal });
  const controller = new AbortController();
  let told = 0;
  const waiting = lockKey({ dataRoot }, KEY, {
    signal: controller.signal,
    onWait: () => {
      told++;
      controller.abort(new Error('enough'));
    },
  });
  await t.throwsAsync(waiting, { message: 'enough' });
  t.is(told, 1);
});

test('the file of a lock goes with its holder, or else with the next sweep, and a lock that is held stays', async (t) => {
  const dataRoot = temporaryFolder('husk-key-lock-');
  sweepLocks({ dataRoot });
  const lock = await lockKey({ dataRoot }, KEY, { signal });
  writeFileSync(join(dataRoot, 'build-locks', 'c'.repeat(64)), '');
  sweepLocks({ dataRoot });
  t.deepEqual(readdirSync(join(dataRoot, 'build-locks')), [KEY]);
  lock[Symbol.dispose]();
  t.deepEqual(readdirSync(join(dataRoot, 'build-locks')), []);
});
