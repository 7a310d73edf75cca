/**
 * What becomes of the errors of system calls: a person reads what was done to what, and why not; never Node's own text.
 */
import { openSync, readFileSync, renameSync } from 'node:fs';
import test from 'ava';
import { causeOf, HuskError, refusal } from '../src/errors.ts';
import { SyscallError } from '../src/host/libc.ts';

function failing(body: () => unknown): unknown {
  try {
    body();
  } catch (error) {
    return error;
  }
  throw new Error('it did not fail');
}

const error = (code: string, errno: number, more: object = {}) =>
  Object.assign(new Error(`${code}: raw, open '/x'`), { code, errno, syscall: 'open', ...more });

const CASES: [title: string, error: unknown, reason: string, refusal: string | undefined][] = [
  [
    'a missing file',
    failing(() => openSync('/nosuch/x', 'r')),
    'no such file or directory',
    'cannot open /nosuch/x: no such file or directory',
  ],
  ['a folder read as a file', failing(() => readFileSync('/')), 'is a directory', 'cannot read: is a directory'],
  [
    'a rename',
    failing(() => renameSync('/nosuch/a', '/nosuch/b')),
    'no such file or directory',
    'cannot rename /nosuch/a to /nosuch/b: no such file or directory',
  ],
  ['no permission', error('EACCES', -13, { path: '/x' }), 'permission denied', 'cannot open /x: permission denied'],
  ['a full disk', error('ENOSPC', -28), 'no space left on device', 'cannot open: no space left on device'],
  [
    'a connection',
    error('ECONNREFUSED', -111, { syscall: 'connect', address: '127.0.0.1', port: 5000 }),
    'connection refused',
    'cannot connect 127.0.0.1:5000: connection refused',
  ],
  [
    'our own system calls',
    new SyscallError('openat2', 40, 'a/b'),
    'too many levels of symbolic links',
    'cannot openat2 a/b: too many levels of symbolic links',
  ],
  [
    'a deleted working folder',
    error('ENOENT', -2, { syscall: 'uv_cwd' }),
    'no such file or directory',
    'cannot find the working folder: it has been removed',
  ],
  // these are husk's own faults: they keep their stack
  ['a bug', error('EBADF', -9), 'bad file descriptor', undefined],
  ['another bug', new TypeError('x is not a function'), 'x is not a function', undefined],
  [
    'an error that only looks like one',
    Object.assign(new Error('m'), { code: 'ERR_INVALID_ARG_TYPE' }),
    'm',
    undefined,
  ],
  ['a code named as what every object has', error('Econstructor', -1), "Econstructor: raw, open '/x'", undefined],
  ['no error at all', 'text', 'text', undefined],
  ['nothing', undefined, 'undefined', undefined],
];
for (const [title, given, why, line] of CASES)
  test(title, (t) => {
    t.is(causeOf(given), why);
    const refused = refusal(given);
    t.is(refused?.message, line);
    if (refused) t.true(refused instanceof HuskError && refused.exitCode === 1);
  });
