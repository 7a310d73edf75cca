/** Programs started by posix_spawn(3): what they begin with, how their end is told, and that nothing of them stays. */
import { spawn as spawnByNode, spawnSync } from 'node:child_process';
import { chmodSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setImmediate } from 'node:timers/promises';
import test from 'ava';
import { Fd, open } from '../../../src/host/fd.ts';
import { spawn, type ProcessEnd, type SpawnOptions } from '../../../src/host/kernel/spawn.ts';
import { SyscallError } from '../../../src/host/libc.ts';
import { memfd } from '../../../src/host/memory/memfd.ts';
import { pipe } from '../../../src/host/streams/pipe.ts';

const SPAWN = join(import.meta.dirname, '../../../src/host/kernel/spawn.ts');
const O_RDWR = 2;

const descriptors = (): string[] => readdirSync('/proc/self/fd');
const children = (): string => readFileSync('/proc/thread-self/children', 'utf8');
const contentOf = (file: Fd): string => readFileSync(`/proc/self/fd/${file.number}`, 'utf8');

/** flags are octal: O_CLOEXEC is 02000000 */
const isCloseOnExec = (fd: string): boolean =>
  /^flags:\t0[2367]\d{6}$/m.test(readFileSync(`/proc/self/fdinfo/${fd}`, 'utf8'));

/** of a process that may be gone meanwhile */
function statusOf(pid: string): string {
  try {
    return readFileSync(`/proc/${pid}/status`, 'utf8');
  } catch {
    return '';
  }
}

/** runs a shell's script to its end: what it printed, and how it ended */
async function shell(script: string, options: Partial<SpawnOptions> = {}): Promise<{ said: string; end: ProcessEnd }> {
  using output = memfd('output');
  const { exited } = spawn('/bin/sh', {
    args: ['-c', script],
    env: ['PATH=/usr/bin:/bin'],
    descriptors: ['null', output.number, 2],
    ...options,
  });
  const end = await exited;
  return { said: contentOf(output), end };
}

/** the same in another Node, which has this file's module as `spawn` */
const driver = (script: string): string[] => [
  process.execPath,
  '--disable-warning=ExperimentalWarning',
  '--input-type=module',
  '--eval',
  `import { spawn } from ${JSON.stringify(SPAWN)};${script}`,
];

for (const [script, end] of Object.entries({
  'exit 0': { code: 0, signal: null },
  'exit 7': { code: 7, signal: null },
  'exit 255': { code: 255, signal: null },
  'kill -TERM $$': { code: null, signal: 15 },
  'kill -KILL $$': { code: null, signal: 9 },
  // would leave a core where that is allowed
  'ulimit -c 0; kill -ABRT $$': { code: null, signal: 6 },
}))
  test.serial(`the end is told: ${script}`, async (t) => {
    t.deepEqual((await shell(script)).end, end);
  });

test.serial('arguments and environment arrive whole, and nothing else does', async (t) => {
  using said = memfd('said');
  const descriptors = ['null', said.number, 2] as const;
  const args = ['%s|', '', 'two words', 'ünïcode'];
  await spawn('/usr/bin/printf', { args, env: [], descriptors }).exited;
  await spawn('/usr/bin/env', { args: [], env: ['A=b c', 'EMPTY='], descriptors }).exited;
  t.is(contentOf(said), '|two words|ünïcode|A=b c\nEMPTY=\n');
});

test.serial('a program that cannot be started is named, and leaves nothing', (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'husk-spawn-'));
  t.teardown(() => rmSync(folder, { recursive: true }));
  const plain = join(folder, 'plain');
  writeFileSync(plain, '#!/bin/sh\n');
  chmodSync(plain, 0o644);
  const before = descriptors();
  for (const [program, code] of [
    [join(folder, 'absent'), 'ENOENT'],
    [plain, 'EACCES'],
    [join(plain, 'x'), 'ENOTDIR'],
  ] as const) {
    const error = t.throws(() => spawn(program, { args: [], env: [], descriptors: ['null', 'null', 'null'] }), {
      instanceOf: SyscallError,
    });
    t.like(error, { code, syscall: 'spawn', path: program });
  }
  t.deepEqual(descriptors(), before);
  t.is(children(), '');
});

test.serial('descriptors that stand in the way of each other reach their places', async (t) => {
  using nothing = open('/dev/null', O_RDWR);
  using output = memfd('output');
  using a = memfd('a', Buffer.from('a'));
  using b = memfd('b', Buffer.from('b'));
  using c = memfd('c', Buffer.from('c'));
  const places = new Map([
    [1, output.number],
    [a.number, b.number],
    [b.number, a.number],
    // in its own place, where it would be closed at exec
    [c.number, c.number],
    // one for two
    [c.number + 1, a.number],
  ]);
  const script = [...places.keys()].slice(1).map((place) => `cat /proc/self/fd/${place}`);
  await shell(script.join(';'), {
    descriptors: Array.from({ length: c.number + 2 }, (_, place) => places.get(place) ?? nothing.number),
  });
  t.is(contentOf(output), 'baca');
});

test.serial('/dev/null is read as standard input, and written to as the others', async (t) => {
  using flags = memfd('flags');
  const script = 'cat /proc/self/fdinfo/[012] >&3';
  await shell(`${script}; readlink /proc/self/fd/[012] >&3`, { descriptors: ['null', 'null', 'null', flags.number] });
  const said = contentOf(flags);
  // O_LARGEFILE is the C library's; the last digit is the access mode
  t.deepEqual(
    [...said.matchAll(/^flags:\t0\d*([0-7])$/gm)].map(([, mode]) => mode),
    ['0', '2', '2'],
  );
});

test.serial('no other descriptor of husk is passed on', async (t) => {
  using _another = memfd('another');
  // whoever started the tests may have left them some
  const inherited = descriptors().filter(
    (fd) => Number(fd) > 2 && existsSync(`/proc/self/fd/${fd}`) && !isCloseOnExec(fd),
  );
  const { said } = await shell('echo /proc/self/fd/*');
  const passed = said.match(/\d+/g)!.toSorted((a, b) => Number(a) - Number(b));
  t.deepEqual(
    passed.filter((fd) => !inherited.includes(fd)),
    ['0', '1', '2', '3'],
  ); // 3 is the shell's own, to list them
});

test.serial('standard streams are blocking, the others as they are', async (t) => {
  const { read, write } = pipe({ nonblock: true });
  const [other, end] = [pipe({ nonblock: true }), write];
  using _all = new DisposableStack();
  for (const fd of [read, write, other.read, other.write]) _all.use(fd);
  const isBlocking = (fd: Fd) => !/^flags:\t\d*4\d{3}$/m.test(readFileSync(`/proc/self/fdinfo/${fd.number}`, 'utf8'));
  await shell('true', { descriptors: ['null', end.number, 2, other.write.number] });
  t.true(isBlocking(end));
  t.false(isBlocking(read));
  t.false(isBlocking(other.write));
});

test.serial('many at once each have their own end, and leave neither process nor descriptor', async (t) => {
  // what is opened once and kept: the event loop's own
  await shell('true');
  const before = descriptors();
  const ends = await Promise.all(
    Array.from(
      { length: 60 },
      async (_, code) => (await shell(`exit ${code}`, { descriptors: ['null', 'null', 2] })).end,
    ),
  );
  t.deepEqual(
    ends,
    ends.map((_, code) => ({ code, signal: null })),
  );
  t.deepEqual(descriptors(), before);
  t.is(children(), '');
});

test.serial("beside Node's own children", async (t) => {
  const other = spawnByNode('/bin/sh', ['-c', 'exit 5']);
  const code = new Promise((resolve) => other.once('exit', resolve));
  t.is((await shell('exit 6')).end.code, 6);
  t.is(await code, 5);
});

test.serial("signals that this process ignores or blocks are the program's as ever", (t) => {
  const script = `const spawned = spawn('/bin/grep', {
    args: ['^Sig[BI]', '/proc/self/status'], env: [], descriptors: ['null', 1, 2] });
    console.log(JSON.stringify(await spawned.exited));`;
  const evil = ['--ignore-signal=CHLD', '--ignore-signal=HUP', '--ignore-signal=RTMAX', '--block-signal=USR1'];
  const { stdout, stderr } = spawnSync('env', [...evil, ...driver(script)], { encoding: 'utf8' });
  t.is(stderr, '');
  t.is(stdout, 'SigBlk:\t0000000000000000\nSigIgn:\t0000000000000000\n{"code":0,"signal":null}\n');
});

test.serial('a process that was given up does not keep this one', async (t) => {
  const { read, write } = pipe();
  using end = write;
  const script = `const spawned = spawn('/bin/cat', { args: [], env: [], descriptors: [0, 'null', 2] });
    spawned.unref();
    console.log(spawned.pid);`;
  const [program, ...args] = driver(script);
  const node = spawnByNode(program!, args, { stdio: [read.number, 'pipe', 'inherit'] });
  read.close();
  let said = '';
  node.stdout!.setEncoding('utf8').on('data', (text: string) => (said += text.trim()));
  t.is(await new Promise((resolve) => node.once('close', resolve)), 0);
  t.is(readFileSync(`/proc/${said}/comm`, 'utf8'), 'cat\n');
  end.close();
  // it is nobody's child here: init may be slow to wait for it
  while (existsSync(`/proc/${said}`) && !/^State:\s+Z/m.test(statusOf(said))) await setImmediate();
  t.pass();
});

test.serial('a program whose end could not be heard of is ended', (t) => {
  const script = `import { closeSync, openSync, readFileSync } from 'node:fs';
    const descriptors = ['null', 'null', 'null'];
    await spawn('/bin/true', { args: [], env: [], descriptors }).exited;
    const taken = [];
    for (;;) try { taken.push(openSync('/dev/null')); } catch { break; }
    try { spawn('/bin/sleep', { args: ['1000'], env: [], descriptors }); } catch ({ code }) { console.log(code); }
    closeSync(taken.pop());
    console.log([readFileSync('/proc/thread-self/children', 'utf8')]);`;
  const { stdout } = spawnSync('prlimit', ['--nofile=64:64', ...driver(script)], { encoding: 'utf8' });
  t.is(stdout, "EMFILE\n[ '' ]\n");
});
