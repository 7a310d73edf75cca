/**
 * Who tends a warden (guest/net/tend.c), with a shell in the warden's place: it appends what it was told to a file, one
 * line for each, and then does as its second line says.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import test, { type ExecutionContext } from 'ava';
import { seqpacketPair } from '../../../src/host/streams/socket.ts';
import { NET_PROGRAM } from '../../../src/program.ts';
import { temporaryFolder } from '../../fixtures/temporary.ts';

const PATIENCE = 60_000;
const WARDEN = 'read -r task; echo; exec >&-; read -r monitor; echo "$$ $task $monitor" >>"$0"; eval "$monitor"';
const STAYS = 'exec sleep 1000';

function tend(t: ExecutionContext, script = WARDEN, program = '/bin/sh') {
  const told = join(temporaryFolder('husk-tend-'), 'told');
  const { near, far } = seqpacketPair();
  const child = spawn(NET_PROGRAM, ['tend', program, 'warden', '-c', script, told], {
    stdio: ['pipe', 'pipe', 'ignore', far.number],
  });
  far.close();
  const ended = once(child, 'exit') as Promise<[number | null]>;
  const { stdin, stdout } = child as import('node:child_process').ChildProcessByStdio<
    import('node:stream').Writable,
    import('node:stream').Readable,
    null
  >;
  stdin.on('error', () => {});
  t.teardown(() => {
    near.close();
    for (const { pid } of lines()) kill(pid);
    child.kill('SIGKILL');
  });
  const lines = () =>
    read(told).map((line) => {
      const [pid, ...words] = line.split(' ');
      return { pid: Number(pid), words: words.join(' ') };
    });
  const line = async (index: number) => {
    for (const start = Date.now(); Date.now() - start < PATIENCE; await sleep(10))
      if (lines()[index]) return lines()[index];
    return t.fail(`there was no warden number ${index + 1}`);
  };
  return { child, stdin, stdout: stdout.setEncoding('latin1'), near, ended, line };
}

function read(file: string): string[] {
  try {
    return readFileSync(file, 'latin1').split('\n').slice(0, -1);
  } catch {
    return [];
  }
}

function kill(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch {
    // it has ended
  }
}

test('the first warden says that it is ready, and each that was killed is followed by one that is told the same', async (t) => {
  t.timeout(PATIENCE);
  const { stdin, stdout, line } = tend(t);
  stdin.write('task\n');
  t.deepEqual(await once(stdout, 'data'), ['\n']);
  await once(stdout, 'close');
  stdin.end(`${STAYS}\n`);
  const pids = new Set<number>();
  for (let index = 0; index < 3; index++) {
    const { pid, words } = (await line(index))!;
    t.is(words, `task ${STAYS}`);
    pids.add(pid);
    // the last one is the teardown's, which knows it by its line
    if (index < 2) kill(pid);
  }
  t.is(pids.size, 3);
});

test('a warden that has nothing more to do ends it', async (t) => {
  const { stdin, ended } = tend(t);
  stdin.end('task\nexit 0\n');
  t.deepEqual((await ended)[0], 0);
});

test('one that fails is tried again, until the monitor has closed its end', async (t) => {
  t.timeout(PATIENCE);
  const { stdin, near, line, ended } = tend(t);
  stdin.end('task\nexit 1\n');
  t.not((await line(0))!.pid, (await line(2))!.pid);
  near.close();
  t.is((await ended)[0], 0);
});

test('whoever started it hears that the first one was killed before it was ready', async (t) => {
  const { stdin, stdout } = tend(t, 'kill -9 $$');
  stdin.write('task\n');
  stdout.resume();
  await once(stdout, 'close');
  t.pass();
});

test('a program that is not there is tried until the monitor has closed its end', async (t) => {
  t.timeout(PATIENCE);
  const { stdout, near, ended } = tend(t, WARDEN, '/nonexistent');
  stdout.resume();
  await once(stdout, 'close');
  near.close();
  t.is((await ended)[0], 0);
});

test('a long task arrives whole, and one without an end is refused', async (t) => {
  t.timeout(PATIENCE);
  const whole = tend(t, 'read -r task; read -r monitor; echo "$$ ${#task}" >>"$0"; exit 0');
  whole.stdin.end(`${'x'.repeat(300_000)}\nexit\n`);
  t.is((await whole.line(0))!.words, '300000');
  const endless = tend(t, 'exec cat >/dev/null');
  const chunk = Buffer.alloc(1 << 20, 'x');
  for (let written = 0; written < 5; written++) endless.stdin.write(chunk);
  t.is((await endless.ended)[0], 3);
});

test('what it keeps running lives on when it is killed, and signals of a logout end neither', async (t) => {
  t.timeout(PATIENCE);
  const { child, stdin, line, ended } = tend(t);
  stdin.end(`task\n${STAYS}\n`);
  const { pid } = (await line(0))!;
  for (const signal of ['SIGHUP', 'SIGINT', 'SIGTERM'] as const) child.kill(signal);
  kill(pid);
  const next = (await line(1))!.pid;
  child.kill('SIGKILL');
  await ended;
  t.notThrows(() => process.kill(next, 0));
});
