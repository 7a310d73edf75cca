/** The table of system calls beside the kernel's own header, and answers that no other call's errno can reach. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Worker } from 'node:worker_threads';
import { constants } from 'node:os';
import { pathToFileURL } from 'node:url';
import test from 'ava';
import { checked, SyscallError } from '../../src/host/libc.ts';
import { systemCall, threadedSystemCall } from '../../src/host/system-call.ts';
import { ROOT } from '../fixtures/user.ts';

const { EBADF, ENOENT, ENOTDIR } = constants.errno;
const O_PATH = 0o10000000;
const AT_FDCWD = -100;

const openat = systemCall<(folder: number, path: string, flags: number) => number>(
  'int openat(int fd, const char *path, int flags)',
);
const close = systemCall<(fd: number) => number>('int close(int fd)');

test('every number is the one of linux-libc-dev', (t) => {
  const header = readFileSync('/usr/include/x86_64-linux-gnu/asm/unistd_64.h', 'latin1');
  const kernel = Object.fromEntries(
    [...header.matchAll(/^#define __NR_(\w+) (\d+)$/gm)].map(([, name, number]) => [name, Number(number)]),
  );
  const source = readFileSync(join(ROOT, 'src/host/system-call.ts'), 'utf8');
  const table = /const NUMBERS = \{(.*?)\}/s.exec(source)![1]!;
  const ours = [...table.matchAll(/(\w+): (\d+)/g)].map(([, name, number]) => [name, Number(number)] as const);
  t.true(ours.length > 60);
  for (const [name, number] of ours) t.is(number, kernel[name!], name);
});

test('a failed call answers its own negated errno', (t) => {
  t.is(openat(AT_FDCWD, '/no/such', 0), -ENOENT);
  t.is(openat(AT_FDCWD, '/etc/passwd/x', 0), -ENOTDIR);
  t.is(close(-1), -EBADF);
});

test('a call that succeeds answers its result', (t) => {
  const fd = openat(AT_FDCWD, '/', O_PATH);
  t.true(fd > 2);
  t.is(close(fd), 0);
  t.is(close(fd), -EBADF);
});

test('the fourth, fifth and sixth argument arrive', (t) => {
  const mmap = systemCall<(...args: number[]) => number>(
    'int64_t mmap(int64_t a, size_t l, int p, int flags, int fd, int64_t o)',
  );
  const munmap = systemCall<(address: number, length: number) => number>('int munmap(int64_t address, size_t length)');
  t.is(mmap(0, 4096, 1, 2, -1, 0), -EBADF);
  t.is(mmap(0, 4096, 1, 0x22, -1, 4095), -constants.errno.EINVAL);
  const address = mmap(0, 4096, 3, 0x22, -1, 0);
  t.true(address > 0);
  t.is(munmap(address, 4096), 0);
});

test("on a thread of the pool the answer is that thread's own", async (t) => {
  const syncfs = threadedSystemCall<[number]>('int syncfs(int fd)');
  const results = await Promise.all(
    Array.from({ length: 20 }, () => new Promise((resolve) => syncfs().async(-1, (_, result) => resolve(result)))),
  );
  t.deepEqual(new Set(results), new Set([-EBADF]));
});

test('a worker thread makes calls of its own', async (t) => {
  const program = `import { parentPort } from 'node:worker_threads';
    const { open } = await import(${JSON.stringify(String(pathToFileURL(join(ROOT, 'src/host/fd.ts'))))});
    try { open('/no/such', 0); } catch (error) { parentPort.postMessage(error.code); }`;
  const worker = new Worker(new URL(`data:text/javascript,${encodeURIComponent(program)}`));
  t.is(await new Promise((resolve, reject) => worker.once('message', resolve).once('error', reject)), 'ENOENT');
  await worker.terminate();
});

test('what is not in the table is refused by name', (t) => {
  t.throws(() => systemCall<() => number>('int reboot(void)')(), { message: /system call reboot is not in the table/ });
});

test('checked throws the errno it is given', (t) => {
  t.like(
    t.throws(() => checked(-ENOENT, 'openat', '/x'), { instanceOf: SyscallError }),
    { code: 'ENOENT', errno: ENOENT, path: '/x' },
  );
  t.is(checked(7, 'read'), 7);
});
