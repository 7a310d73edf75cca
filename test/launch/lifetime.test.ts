/**
 * What a launch gives while it runs and how it ends: stdio, terminal, signals, awaits, and that killing anything leaves
 * nothing.
 */
import { execFileSync, spawn } from 'node:child_process';
import { readFileSync, readSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { setTimeout as sleep } from 'node:timers/promises';
import { serialize } from 'node:v8';
import test from 'ava';
import { launch, type Launched, type LaunchOptions } from '../../src/launch/executor.ts';
import type { LaunchPlan, Step } from '../../src/launch/plan.ts';
import { Fd } from '../../src/host/fd.ts';
import { watchReadable } from '../../src/host/streams/poll.ts';
import { setWindowSize } from '../../src/host/streams/tty.ts';
import { DEV, inContainer, INIT, mapIds, PROC, run, RUNNERS, sh, tree, type Tree } from './launching.ts';

const start = (plan: LaunchPlan, options: Partial<LaunchOptions> = {}): Launched =>
  launch(plan, {
    init: INIT,
    stdin: 'null',
    stdout: 'pipe',
    stderr: 'pipe',
    onAwait: (tag, pid) => (tag === 'idmap' ? mapIds(pid) : undefined),
    ...options,
  });
const container = (root: Tree, script: string, after: Step[] = []): LaunchPlan =>
  inContainer(root, [PROC, ...DEV], [...after, ...sh(script)]);
const alive = (pid: number): boolean => {
  try {
    return !/^State:\s+[ZX]/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'));
  } catch {
    return false;
  }
};
const parentOf = (pid: number): number =>
  Number(/^PPid:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))![1]);
async function gone(pid: number, milliseconds = 60_000): Promise<boolean> {
  for (const end = Date.now() + milliseconds; Date.now() < end; await sleep(5)) if (!alive(pid)) return true;
  return false;
}
async function firstLine(launched: Launched): Promise<string> {
  launched.stdout!.setEncoding('utf8');
  for await (const chunk of launched.stdout!.iterator({ destroyOnReturn: false })) return String(chunk).trim();
  return '';
}

test('stdin, stdout and stderr are apart, and real pipes', async (t) => {
  using root = tree(RUNNERS[0]!);
  const launched = start(container(root, 'cat; echo err >&2; echo again > /dev/stdout; readlink /proc/self/fd/1'), {
    stdin: 'pipe',
  });
  launched.stdin!.end('in\n');
  const [stdout, stderr] = await Promise.all([text(launched.stdout!), text(launched.stderr!)]);
  t.regex(stdout, /^in\nagain\npipe:\[\d+\]\n$/);
  t.is(stderr, 'err\n');
  t.deepEqual(await launched.exited, { code: 0 });
});

test('a command that does not read stdin does not hang the writer', async (t) => {
  using root = tree(RUNNERS[0]!);
  const launched = start(container(root, 'exit 3'), { stdin: 'pipe' });
  launched.stdin!.on('error', (error: NodeJS.ErrnoException) => t.is(error.code, 'EPIPE'));
  launched.stdin!.end(Buffer.alloc(1 << 20));
  t.deepEqual(await launched.exited, { code: 3 });
});

test('no byte of a large output is lost at exit', async (t) => {
  using root = tree(RUNNERS[0]!);
  const launched = start(container(root, 'seq 1 300000'));
  let last = '';
  let bytes = 0;
  launched.stdout!.setEncoding('latin1').on('data', (chunk: string) => {
    bytes += chunk.length;
    last = (last + chunk).slice(-7);
  });
  await launched.exited;
  if (!launched.stdout!.readableEnded) await new Promise((resolve) => launched.stdout!.once('end', resolve));
  t.is(bytes, 1_988_895);
  t.is(last, '300000\n');
});

test('a user who is not root reopens /dev/stdout', async (t) => {
  using root = tree(RUNNERS[0]!);
  const steps: Step[] = [
    { op: 'setuid', uid: 1 },
    { op: 'chownStdio' },
    { op: 'capabilities', bounding: 0n, effective: 0n, permitted: 0n, inheritable: 0n, ambient: 0n },
  ];
  const launched = start(container(root, 'echo out > /dev/stdout', steps));
  t.is(await text(launched.stdout!), 'out\n');
});

test('pid is the container process as seen from outside; started comes with exec, not before', async (t) => {
  using root = tree(RUNNERS[0]!);
  let awaited = 0;
  const launched = start(container(root, 'echo up; sleep 60; true', [{ op: 'await', tag: 'exec' }]), {
    async onAwait(tag, pid) {
      if (tag === 'idmap') return mapIds(pid);
      if (tag !== 'exec') return;
      awaited = pid;
      t.is(readFileSync(`/proc/${pid}/comm`, 'utf8'), 'husk-init\n');
      await sleep(50);
    },
  });
  await launched.started;
  const pid = await launched.pid;
  t.is(pid, awaited);
  t.is(await firstLine(launched), 'up');
  t.is(readFileSync(`/proc/${pid}/comm`, 'utf8'), 'sh\n');
  t.regex(readFileSync(`/proc/${pid}/status`, 'utf8'), /^NSpid:\t\d+\t1$/m);
  launched.signal(9);
  t.deepEqual(await launched.exited, { code: 137, signal: 9 });
});

test('exit code 137 is not a SIGKILL', async (t) => {
  using root = tree(RUNNERS[0]!);
  t.deepEqual(await start(container(root, 'exit 137')).exited, { code: 137 });
});

test('a signal after the end goes nowhere', async (t) => {
  using root = tree(RUNNERS[0]!);
  const launched = start(container(root, 'true'));
  await launched.exited;
  t.notThrows(() => launched.signal(9));
});

test('dispositions and mask are the defaults', async (t) => {
  using root = tree(RUNNERS[0]!);
  const launched = start(
    inContainer(
      root,
      [PROC],
      [
        { op: 'environment', env: ['PATH=/bin'] },
        { op: 'exec', args: ['grep', '^Sig[BI]', '/proc/self/status'] },
      ],
    ),
  );
  t.is(await text(launched.stdout!), 'SigBlk:\t0000000000000000\nSigIgn:\t0000000000000000\n');
});

test('the reaper forwards signals to its child', async (t) => {
  using root = tree(RUNNERS[0]!);
  const launched = start(
    container(root, 'trap "echo term; exit 9" TERM; echo ready; while :; do sleep 0.05; done', [{ op: 'reaper' }]),
  );
  launched.stdout!.setEncoding('utf8');
  let output = '';
  for await (const chunk of launched.stdout!) {
    output += chunk;
    if (output === 'ready\n') launched.signal(15);
  }
  t.is(output, 'ready\nterm\n');
  t.deepEqual(await launched.exited, { code: 9 });
});

/** everything a terminal says until its end */
async function screen(fd: number, react: (all: string) => void = () => {}): Promise<string> {
  using master = new Fd(fd);
  let all = '';
  await new Promise<void>((resolve) => {
    const watch = watchReadable(master.number, () => {
      const buffer = Buffer.alloc(4096);
      try {
        const length = readSync(master.number, buffer);
        all += buffer.toString('latin1', 0, length);
        react(all);
      } catch {
        watch.close(); // EIO: the last slave is closed
        resolve();
      }
    });
  });
  return all;
}
const PTY: Step = { op: 'openPty', columns: 91, rows: 17, console: true };

for (const reaper of [[], [{ op: 'reaper' }]] satisfies Step[][]) {
  test(`openPty: size, controlling terminal, console, keys${reaper.length ? ', with a reaper' : ''}`, async (t) => {
    using root = tree(RUNNERS[0]!);
    const launched = start(
      container(
        root,
        'stty size; tty; echo to-console > /dev/console; echo > /dev/tty; trap "echo int; exit 4" INT; echo ready; while :; do sleep 0.05; done',
        [PTY, ...reaper],
      ),
      { stdout: 'null', stderr: 'null' },
    );
    const { fd } = await launched.pty!;
    let sent = false;
    const output = await screen(fd, (all) => {
      // the whole line: an interrupt throws away what the terminal has not yet handed on
      if (sent || !all.includes('ready\r\n')) return;
      sent = true;
      writeSync(fd, '\x03');
    });
    t.regex(output, /^17 91\r\n\/dev\/pts\/0\r\nto-console\r\n\r\nready\r\n(\^C)?int\r\n$/);
    t.deepEqual(await launched.exited, { code: 4 });
  });
}

test('openPty: a new size reaches the foreground', async (t) => {
  using root = tree(RUNNERS[0]!);
  const launched = start(
    container(root, 'trap "stty size; exit" WINCH; echo ready; while :; do sleep 0.05; done', [PTY]),
    { stdout: 'null', stderr: 'null' },
  );
  const { fd } = await launched.pty!;
  let done = false;
  const output = await screen(fd, (all) => {
    if (done || !all.includes('ready')) return;
    done = true;
    setWindowSize(fd, 132, 43);
  });
  t.regex(output, /43 132/);
});

test('killing the monitor ends the container', async (t) => {
  using root = tree(RUNNERS[0]!);
  const launched = start(container(root, 'sleep 60 & echo up; wait'));
  await firstLine(launched);
  const pid = await launched.pid;
  process.kill(parentOf(pid), 'SIGKILL');
  t.true(await gone(pid));
  t.deepEqual(await launched.exited, { code: 137, signal: 9 });
});

test('killing the monitor ends a command that cleared its parent-death signal', async (t) => {
  using root = tree(RUNNERS[0]!);
  const launched = start(container(root, 'echo up; sleep 60', [{ op: 'parentDeathSignal', signal: 0 }]));
  await firstLine(launched);
  const pid = await launched.pid;
  process.kill(parentOf(pid), 'SIGKILL');
  t.true(await gone(pid));
});

for (const [name, steps] of Object.entries({
  'a container': [],
  'a container with a reaper': [{ op: 'reaper' }],
  'a container of another user': [
    { op: 'setgid', gid: 5 },
    { op: 'setuid', uid: 5 },
  ],
  // execve of a set-user-ID program clears the parent-death signal: then it is the monitor that ends it
  'a container behind two monitors': [{ op: 'fork' }, { op: 'parentDeathSignal', signal: 0 }],
  'a set-user-ID command': [
    { op: 'chmod', path: '/bin/busybox', mode: 0o4755 },
    { op: 'setgid', gid: 5 },
    { op: 'setuid', uid: 5 },
  ],
} satisfies Record<string, Step[]>)) {
  test(`killing the launching process leaves nothing of ${name}`, async (t) => {
    using root = tree(RUNNERS[0]!);
    const plan = container(root, 'sleep 61 & echo up; wait', steps);
    const supervisor = spawn(
      process.execPath,
      ['--disable-warning=ExperimentalWarning', join(import.meta.dirname, 'launch-supervisor.ts')],
      { stdio: ['pipe', 'pipe', 'inherit'] },
    );
    supervisor.stdin!.end(serialize(plan));
    const [line] = (
      await supervisor.stdout!.setEncoding('utf8').iterator({ destroyOnReturn: false }).next()
    ).value.split('\n');
    const pid = Number(line);
    const monitor = parentOf(pid);
    t.true(alive(pid));
    supervisor.kill('SIGKILL');
    t.true(await gone(pid), 'the command lives');
    t.true(await gone(monitor), 'the monitor lives');
  });
}

test('killing the launching process while it is awaited leaves nothing', async (t) => {
  using root = tree(RUNNERS[0]!);
  const supervisor = spawn(
    process.execPath,
    ['--disable-warning=ExperimentalWarning', join(import.meta.dirname, 'launch-supervisor.ts')],
    { stdio: ['pipe', 'pipe', 'inherit'] },
  );
  supervisor.stdin!.end(serialize(container(root, 'echo never', [{ op: 'await', tag: 'network' }])));
  const [line] = (await supervisor.stdout!.setEncoding('utf8').iterator({ destroyOnReturn: false }).next()).value.split(
    '\n',
  );
  t.true(alive(Number(line)));
  supervisor.kill('SIGKILL');
  t.true(await gone(Number(line)));
});

test('a process killed before exec is said', async (t) => {
  using root = tree(RUNNERS[0]!);
  const launched = start(container(root, 'true', [{ op: 'await', tag: 'exec' }]), {
    onAwait(tag, pid) {
      if (tag === 'idmap') return mapIds(pid);
      else process.kill(pid, 'SIGKILL');
    },
  });
  await t.throwsAsync(launched.started, { message: /husk-init was killed before it could execute the command/ });
  t.deepEqual(await launched.exited, { code: 137, signal: 9 });
});

test('joining a running container: setnsPid', async (t) => {
  using root = tree(RUNNERS[0]!);
  const first = start(container(root, 'echo up; sleep 60', [{ op: 'sethostname', name: 'joined' }]));
  await firstLine(first);
  const pid = await first.pid;
  // user, mount, pid, uts, ipc
  const outcome = await run(RUNNERS[0]!, [
    { op: 'setnsPid', pid, types: 0x10000000 | 0x20000 | 0x20000000 | 0x4000000 | 0x8000000 },
    { op: 'setgroups', gids: [] },
    { op: 'setgid', gid: 0 },
    { op: 'setuid', uid: 0 },
    { op: 'fork' },
    { op: 'chdir', path: '/' },
    ...sh('hostname; id -u; ls /; test $$ -gt 1'),
  ]);
  t.is(outcome.stdout, 'joined\n0\nbin\ndev\netc\nproc\ntmp\n', outcome.error?.message);
  t.is(outcome.code, 0);
  first.signal(9);
  await first.exited;
});

test('descriptors do not leak', (t) => {
  const output = execFileSync(
    process.execPath,
    ['--disable-warning=ExperimentalWarning', join(import.meta.dirname, 'launch-many.ts')],
    { encoding: 'utf8' },
  );
  const [early, late] = JSON.parse(output) as [number, number];
  t.true(late <= early + 3, `${early} open descriptors became ${late}`);
});
