/** The thread of machine code: calls, results, errors, the next call, its end. Any ioctl will do. */
import { closeSync, openSync, readdirSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import test from 'ava';
import { IoctlThread } from '../../src/host/kernel/ioctl-thread.ts';

/** FIOCLEX, include/uapi/asm-generic/ioctls.h: works on any descriptor, needs no argument */
const FIOCLEX = 0x5451;
/** FIONREAD of a null pointer */
const FIONREAD = 0x541b;
const EBADF = 9;
const ENOTTY = 25;
/** ms */
const PATIENCE = 60_000;

async function finished(thread: IoctlThread): Promise<number> {
  for (const start = performance.now(); performance.now() - start < PATIENCE;) {
    if (thread.done.drain()) return thread.result;
    await sleep(1);
  }
  throw new Error('the thread did not come back');
}

test.serial('calls once for each go, and says what came of it', async (t) => {
  const fd = openSync('/dev/null', 'r');
  const thread = new IoctlThread(fd, FIOCLEX);
  for (let i = 0; i < 100; i++) {
    t.is(await finished(thread), 0);
    t.false(thread.done.drain());
    thread.go();
  }
  await finished(thread);
  thread[Symbol.dispose]();
  closeSync(fd);
});

test.serial('errors are negative errnos', async (t) => {
  for (const [fd, request, errno] of [
    [-1, FIOCLEX, EBADF],
    [1_000_000, FIONREAD, EBADF],
  ] as const) {
    const thread = new IoctlThread(fd, request);
    t.is(await finished(thread), -errno);
    thread[Symbol.dispose]();
  }
  const fd = openSync('/dev/null', 'r');
  const thread = new IoctlThread(fd, 0xdead);
  t.is(await finished(thread), -ENOTTY);
  thread[Symbol.dispose]();
  closeSync(fd);
});

test.serial('leaves no thread and no descriptor', async (t) => {
  const count = (folder: string) => readdirSync(folder).length;
  const warm = new IoctlThread(-1, FIOCLEX);
  await finished(warm);
  warm[Symbol.dispose]();
  const [threads, descriptors] = [count('/proc/self/task'), count('/proc/self/fd')];
  for (let i = 0; i < 50; i++) {
    const thread = new IoctlThread(-1, FIOCLEX);
    await finished(thread);
    thread[Symbol.dispose]();
  }
  // The test runner's own come and go; a leak would be fifty.
  t.true(count('/proc/self/task') < threads + 25);
  t.true(count('/proc/self/fd') < descriptors + 25);
});
