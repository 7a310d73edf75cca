/**
 * The system calls of the forwarder's worker, and of the relay of a VM's sockets: each kind is made for real under its
 * filter, and comes back or kills.
 */
import { execFileSync, spawnSync } from 'node:child_process';
import { join } from 'node:path';
import test from 'ava';
import { temporaryFolder } from '../fixtures/temporary.ts';
import { ROOT } from '../fixtures/user.ts';

const program = join(temporaryFolder('husk-confined-'), 'confined');
execFileSync('cc', ['-O2', '-o', program, join(import.meta.dirname, 'confined.c'), join(ROOT, 'guest/net/confine.c')]);

const NEEDED = ['nothing', 'tcp', 'tcp6', 'udp', 'udp6', 'recv', 'send', 'close', 'clock'];
const OPTIONS = ['transparent', 'transparent6', 'linger', 'nodelay'];
for (const call of [...NEEDED, ...OPTIONS])
  test(`allowed: ${call}`, (t) => {
    const { status, signal } = spawnSync(program, [call]);
    t.deepEqual([status, signal], [0, null]);
  });

const SOCKETS = ['netlink', 'netlink datagrams', 'unix', 'raw', 'packet', 'blocking'];
const FORBIDDEN_OPTIONS = ['mark', 'device', 'filter', 'packet filters', 'packet filters 6', 'repair', 'raw level'];
const FILES = ['open', 'read', 'write', 'mmap', 'mprotect', 'ioctl'];
const PROCESSES = ['fork', 'execve', 'kill', 'ptrace', 'setns', 'unshare', 'prctl', 'listen'];
for (const call of [...SOCKETS, ...FORBIDDEN_OPTIONS, ...FILES, ...PROCESSES, 'x32'])
  test(`it kills: ${call}`, (t) => {
    t.is(spawnSync(program, [call]).signal, 'SIGSYS');
  });

for (const call of ['nothing', 'unix', 'look up', 'connect', 'hand over', 'close', 'clock'])
  test(`the relay, allowed: ${call}`, (t) => {
    const { status, signal } = spawnSync(program, [call, 'relay']);
    t.deepEqual([status, signal], [0, null]);
  });

const WAYS_TO_FILES = ['open', 'follow', 'cut off', 'read', 'write', 'mmap', 'ioctl'];
const OTHER_SOCKETS = ['tcp', 'udp', 'netlink', 'packet', 'unix datagrams', 'unix blocking', 'send', 'recv'];
for (const call of [...WAYS_TO_FILES, ...OTHER_SOCKETS, ...PROCESSES, 'x32'])
  test(`the relay, it kills: ${call}`, (t) => {
    t.is(spawnSync(program, [call, 'relay']).signal, 'SIGSYS');
  });

// where the kernel takes no such calls from anybody it kills in another way
const hasI386 = spawnSync(program, ['i386 before']).status === 0;
const i386 = 'it kills: i386';
(hasI386 ? test : test.skip)(hasI386 ? i386 : `${i386}: needs a kernel that takes calls of i386`, (t) => {
  t.is(spawnSync(program, ['i386']).signal, 'SIGSYS');
});
