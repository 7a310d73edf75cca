/** The typed system calls: one case each, and the errors they turn errno into. */
import { spawn } from 'node:child_process';
import {
  closeSync,
  constants,
  fstatSync,
  mkdtempSync,
  openSync,
  readFileSync,
  readSync,
  readdirSync,
  rmSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import test from 'ava';
import { Fd, open } from '../../src/host/fd.ts';
import { tryLock } from '../../src/host/files/flock.ts';
import { errnoName, errnoText, SyscallError } from '../../src/host/libc.ts';
import { memfd } from '../../src/host/memory/memfd.ts';
import { pipe } from '../../src/host/streams/pipe.ts';
import { watchReadable } from '../../src/host/streams/poll.ts';
import { pidfdOpen, pidfdSignal } from '../../src/host/kernel/process.ts';
import { receive, send, seqpacketPair } from '../../src/host/streams/socket.ts';
import { setWindowSize, windowSize } from '../../src/host/streams/tty.ts';

const isOpen = (fd: number): boolean => readdirSync('/proc/self/fd').includes(String(fd));

test('errno has names and texts', (t) => {
  t.is(errnoName(2), 'ENOENT');
  t.is(errnoText(21), 'is a directory');
  t.is(new SyscallError('openat2', 40, '/x').message, 'openat2 /x: ELOOP');
  t.is(errnoText(9999), 'unknown error 9999');
});

test('an Fd is closed once, and unusable then', (t) => {
  const fd = memfd('x');
  const { number } = fd;
  fd.close();
  fd.close();
  t.true(fd.closed);
  t.throws(() => fd.number, { message: /used after it was closed/ });
  t.throws(() => fd.release());
  t.throws(() => fstatSync(number), { code: 'EBADF' });
});

test('a released Fd stays open', (t) => {
  const fd = memfd('x');
  const number = fd.release();
  fd[Symbol.dispose]();
  t.true(isOpen(number));
  new Fd(number).close();
});

test('open says what it failed on', (t) => {
  t.like(
    t.throws(() => open('/no/such', constants.O_RDONLY), { instanceOf: SyscallError }),
    { code: 'ENOENT', syscall: 'open', path: '/no/such', errno: 2 },
  );
});

test('descriptors are close-on-exec', (t) => {
  using a = memfd('x');
  using b = open('/dev/null', constants.O_RDONLY);
  const { read, write } = pipe();
  const { near, far } = seqpacketPair();
  for (const fd of [a, b, read, write, near, far]) {
    t.regex(readFileSync(`/proc/self/fdinfo/${fd.number}`, 'utf8'), /^flags:\t0?2\d{6}$/m);
    fd.close();
  }
});

test('a memfd has its content, whatever its size', (t) => {
  for (const size of [0, 1, 65_537, 3 << 20]) {
    using fd = memfd('x', Buffer.alloc(size, 7));
    t.is(fstatSync(fd.number).size, size);
  }
});

test('messages keep their bounds, and carry descriptors and the sender', (t) => {
  const { near, far } = seqpacketPair({ credentials: true });
  using file = memfd('x', Buffer.from('content'));
  t.is(receive(near.number), undefined);
  send(far.number, Buffer.from('one'));
  send(far.number, Buffer.from('two'), [file.number, file.number]);
  const one = receive(near.number)!;
  const two = receive(near.number)!;
  t.like(one, { pid: process.pid, fds: [] });
  t.is(one.data.toString(), 'one');
  t.is(two.data.toString(), 'two');
  t.is(two.fds.length, 2);
  const content = Buffer.alloc(7);
  readSync(two.fds[1]!.number, content, 0, 7, 0);
  t.is(content.toString(), 'content');
  for (const fd of two.fds) fd.close();
  send(near.number, Buffer.from('back'));
  t.is(receive(far.number)!.data.toString(), 'back');
  far.close();
  t.is(receive(near.number), null);
  t.throws(() => send(near.number, Buffer.from('x')), { code: 'EPIPE' } as never);
  near.close();
});

test('a peer that dies with a message unread has said what it said, and then the end', (t) => {
  const { near, far } = seqpacketPair();
  send(far.number, Buffer.from('last words'));
  send(near.number, Buffer.from('unread'));
  far.close();
  t.is(receive(near.number)!.data.toString(), 'last words');
  t.is(receive(near.number), null);
  near.close();
});

test('a message that is too long, or has too many descriptors, is refused and leaks nothing', (t) => {
  const { near, far } = seqpacketPair({ credentials: true });
  send(far.number, Buffer.alloc(20_000));
  t.throws(() => receive(near.number), { instanceOf: SyscallError, message: /EMSGSIZE/ });
  t.throws(
    () =>
      send(
        far.number,
        Buffer.from('x'),
        Array.from({ length: 100 }, () => 0),
      ),
    { instanceOf: RangeError },
  );
  near.close();
  far.close();
});

test('readiness comes until the watch is closed', async (t) => {
  const { read, write } = pipe();
  let calls = 0;
  await new Promise<void>((resolve) => {
    const watch = watchReadable(read.number, () => {
      calls++;
      readSync(read.number, Buffer.alloc(1));
      if (calls === 2) {
        watch.close();
        watch.close();
        resolve();
      } else writeSync(write.number, 'y');
    });
    writeSync(write.number, 'x');
  });
  writeSync(write.number, 'z');
  await new Promise((resolve) => setTimeout(resolve, 20));
  t.is(calls, 2);
  read.close();
  write.close();
});

test('readiness tells of end-of-file', async (t) => {
  const { read, write } = pipe();
  const ended = new Promise<number>((resolve) => {
    const watch = watchReadable(read.number, () => {
      watch.close();
      resolve(readSync(read.number, Buffer.alloc(1)));
    });
  });
  write.close();
  t.is(await ended, 0);
  read.close();
});

test('a pidfd signals its process, and nothing once it is gone', async (t) => {
  const child = spawn('sleep', ['60']);
  using pidfd = pidfdOpen(child.pid!);
  t.true(pidfdSignal(pidfd.number, 0));
  const exited = new Promise<NodeJS.Signals | null>((resolve) => child.once('exit', (_, signal) => resolve(signal)));
  t.true(pidfdSignal(pidfd.number, 15));
  t.is(await exited, 'SIGTERM');
  t.false(pidfdSignal(pidfd.number, 9));
  using file = memfd('x');
  t.throws(() => pidfdSignal(file.number, 0), { instanceOf: SyscallError, message: /EBADF/ });
  t.throws(() => pidfdOpen(2 ** 30), { instanceOf: SyscallError });
});

test('a terminal has a size', (t) => {
  const fd = openSync('/dev/ptmx', constants.O_RDWR | constants.O_NOCTTY);
  setWindowSize(fd, 132, 43);
  t.deepEqual(windowSize(fd), { columns: 132, rows: 43 });
  closeSync(fd);
  using file = memfd('x');
  t.throws(() => windowSize(file.number), { instanceOf: SyscallError, message: /ENOTTY/ });
});

test('a lock is held by one, shared by many, and free again when closed', (t) => {
  const folder = mkdtempSync('/tmp/husk-lock-');
  t.teardown(() => rmSync(folder, { recursive: true }));
  const file = join(folder, 'lock');
  const first = tryLock(file);
  t.truthy(first);
  t.is(tryLock(file), undefined);
  t.is(tryLock(file, { shared: true }), undefined);
  first!.close();
  using a = tryLock(file, { shared: true });
  using b = tryLock(file, { shared: true });
  t.truthy(a);
  t.truthy(b);
  t.is(tryLock(file), undefined);
});
