/** The program that tests put into the jail: does what its argument says and prints one line of JSON. */
import { spawn } from 'node:child_process';
import {
  appendFileSync,
  chownSync,
  lstatSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { connect, createServer } from 'node:net';
import { join } from 'node:path';
import { once } from 'node:events';
import { IoctlThread } from '../../../src/host/kernel/ioctl-thread.ts';
import { libraryFunction } from '../../../src/host/libc.ts';
import { releaseFilePages } from '../../../src/host/memory/file-pages.ts';
import { watchReadable } from '../../../src/host/streams/poll.ts';
import { openDatabase } from '../../../src/state/database.ts';
import { appendEvent } from '../../../src/state/events.ts';
import { identifySelf, isAlive } from '../../../src/state/process-identity.ts';
import { HandedSocket } from '../../../src/network/names/handed-resolver.ts';
import { lockDown } from '../../../src/supervisor/lock-down.ts';
import { PacketLink } from '../../../src/vmm/devices/net/link.ts';

/** ms until a process that should have been killed tells that it lives */
const CRIME_PATIENCE = 20_000;
/** ms until a resolver that is gone, or going, is asked again */
const GONE_PATIENCE = 500;
/** how often, at most */
const ASKED = 100;
/** of 60 kB: several times what the socket holds */
const FRAMES = 100;

const attempt = (body: () => unknown): unknown => {
  try {
    return body() ?? 'done';
  } catch (error) {
    return (error as NodeJS.ErrnoException).code ?? String(error);
  }
};
const syscall = libraryFunction<(number: number, a: number, b: number, c: number, d: number) => number>(
  'long syscall(long number, long a, long b, long c, long d)',
);

const sendto = libraryFunction<
  (fd: number, data: null, length: number, flags: number, to: Uint8Array, toLength: number) => number
>('long sendto(int fd, const void *data, unsigned long length, int flags, const void *to, unsigned int toLength)');

/** one line of /proc/self/status */
const status = (name: string) =>
  new RegExp(`^${name}:\\s+(.*)$`, 'm').exec(readFileSync('/proc/self/status', 'latin1'))?.[1];

function look(data: string, share: string): object {
  const file = join(share, 'of-1000');
  writeFileSync(file, 'x');
  return {
    root: readdirSync('/').sort(),
    proc: readdirSync('/proc').sort(),
    dev: readdirSync('/dev').sort(),
    passwd: attempt(() => openSync('/etc/passwd', 'r')),
    home: attempt(() => openSync(process.argv[4]!, 'r')),
    init: attempt(() => statSync('/proc/1')),
    above: attempt(() => readdirSync('/proc/self/../1')),
    writeRoot: attempt(() => writeFileSync('/x', '')),
    writeShareReadOnly: attempt(() => writeFileSync('/shares/1/x', '')),
    writeData: Object.fromEntries(
      [
        'husk.db',
        'tmp/x',
        'layers/x',
        'blobs/x',
        'names/x',
        'templates/x',
        'saved/x',
        'volumes/other/x',
        'containers/other/writable.ext4',
        'containers/own/writable.ext4',
      ].map((name) => [name, attempt(() => writeFileSync(join(data, name), 'x'))]),
    ),
    seen: {
      containers: attempt(() => readdirSync(join(data, 'containers'))),
      volumes: attempt(() => readdirSync(join(data, 'volumes'))),
      saved: attempt(() => readdirSync(join(data, 'saved'))),
      key: attempt(() => readFileSync(join(data, 'containers/other/supervisor.json'), 'latin1')),
    },
    writeOwnCode: attempt(() => appendFileSync(process.argv[1]!, '')),
    kvm: attempt(() => openSync('/dev/kvm', 'r+')) === 'done' || undefined,
    interfaces: readFileSync('/proc/self/net/dev', 'latin1')
      .match(/^\s*\w+(?=:)/gm)
      ?.map((name) => name.trim()),
    inet: syscall(41, 2, 1, 0, 0),
    mounts: readFileSync('/proc/self/mountinfo', 'latin1')
      .trim()
      .split('\n')
      .map((line) => line.split(' ')[4]),
    uidMap: readFileSync('/proc/self/uid_map', 'latin1').trim().split(/\s+/),
    capabilities: status('CapEff'),
    bounding: status('CapBnd'),
    noNewPrivileges: status('NoNewPrivs'),
    limits: readFileSync('/proc/self/limits', 'latin1').match(/^Max core file size\s+\S+/m)?.[0],
    chown: attempt(() => chownSync(file, 1000, 1000)),
    owner: lstatSync(file).uid,
    exe: readlinkSync('/proc/self/exe'),
    pid: process.pid,
    data: readdirSync(data),
  };
}

/** What a supervisor does while a guest runs, all under the filter. */
async function live(data: string): Promise<object> {
  const server = createServer((socket) => socket.pipe(socket));
  await once(server.listen(join(data, 'inmate.sock')), 'listening');
  // another end of it, made before the filter
  const client = connect(join(data, 'inmate.sock'));
  await once(client, 'connect');
  const before = openDatabase(join(data, 'husk.db'));
  lockDown({ again: false });
  const self = identifySelf();
  appendEvent(before, { Type: 'container', Action: 'start', Actor: { ID: 'x', Attributes: {} } });
  before.close();
  const database = openDatabase(join(data, 'husk.db'));
  for (let i = 0; i < 20; i++)
    appendEvent(database, { Type: 'container', Action: 'die', Actor: { ID: String(i), Attributes: {} } });
  database.exec('PRAGMA wal_checkpoint(TRUNCATE)');
  const events = (database.prepare('SELECT count(*) AS n FROM events').get() as { n: number }).n;
  mkdirSync(join(data, 'folder'));
  for (let i = 0; i < 100; i++) appendFileSync(join(data, 'folder/log'), 'line\n');
  client.write('ping');
  const [echo] = (await once(client, 'data')) as [Buffer];
  client.destroy();
  server.close();
  // threads, garbage, code: V8 and libuv at work
  await Promise.all(
    Array.from({ length: 8 }, () =>
      import('node:fs/promises').then(({ readFile }) => readFile(join(data, 'folder/log'))),
    ),
  );
  for (let i = 0, kept: number[][] = []; i < 400; i++)
    kept = i % 50 === 0 ? [] : [...kept, Array.from({ length: 10_000 }, (_, n) => n * i)];
  await new Promise((resolve) => setTimeout(resolve, 20));
  const { promise, resolve } = Promise.withResolvers<number>();
  (await import('node:zlib')).gzip(Buffer.alloc(1 << 20), (_error, out) => resolve(out.length));
  await promise;
  (await import('node:crypto')).randomBytes(32);
  releaseFilePages();
  // a thread with no JavaScript in it, as a vCPU's: FIONREAD of stdin fails or not, but is made
  const thread = new IoctlThread(1, 0x541b);
  await new Promise((after) => setTimeout(after, 20));
  thread[Symbol.dispose]();
  return {
    events,
    echo: echo.toString(),
    pid: process.pid,
    self,
    parent: isAlive({ ...self, pid: Number(process.argv[4]), startTime: '1' }),
    nobody: isAlive({ ...self, pid: 4_194_303 }),
    seccomp: status('Seccomp'),
  };
}

/** A VM's network under the filter: the one descriptor that was inherited, and every frame on it answered. */
async function network(fd: number): Promise<object> {
  const link = new PacketLink(fd);
  lockDown({ again: true });
  let back = 0;
  const { promise, resolve } = Promise.withResolvers<void>();
  const say = () => {
    link.room(60_000).fill(back % 251);
    link.send();
  };
  const receive = () => {
    for (let frame; (frame = link.peek()); link.drop())
      if (frame.length === 60_000 && frame.every((byte) => byte === back % 251)) {
        back++;
        if (back < FRAMES) say();
      }
    if (back === FRAMES || link.gone) resolve();
  };
  using _watch = watchReadable(fd, receive);
  say();
  await promise;
  return {
    back,
    seccomp: status('Seccomp'),
    descriptors: readdirSync('/proc/self/fd').filter(
      (name) => Number(name) > 2 && attempt(() => readlinkSync(`/proc/self/fd/${name}`).startsWith('socket:')) === true,
    ),
  };
}

/**
 * A resolver of the host's under the filter, by the one socket that was inherited: its answers, and what it is like
 * when it goes away.
 */
async function resolver(fd: number): Promise<object> {
  lockDown({ again: true });
  const socket = new HandedSocket(fd);
  const ask = (query: string, patience = CRIME_PATIENCE) =>
    new Promise<string>((resolve) => {
      const late = setTimeout(() => (call?.close(), resolve('no answer')), patience);
      const told = (said: string): void => {
        clearTimeout(late);
        call?.close();
        resolve(said);
      };
      const call = socket.ask(Buffer.from(query), {
        received: (message) => told(message.toString()),
        failed: () => told('failed'),
      });
      if (!call) told('not sent');
    });
  const answers = [await ask('one'), await ask('two'), await ask('go')];
  // What comes while the resolver is closing is lost, and nobody says so: it is asked until it is gone.
  let last = '';
  for (let left = ASKED; last !== 'failed' && left > 0; left--) last = await ask('gone', GONE_PATIENCE);
  return { answers: [...answers, last] };
}

/** Calls outside the list: the process must not live to print. */
const CRIMES: Record<string, () => unknown> = {
  nothing: () => {},
  socket: () => syscall(41, 1, 1, 0, 0),
  inet: () => syscall(41, 2, 1, 0, 0),
  connect: () => syscall(42, 0, 0, 0, 0),
  'send elsewhere': () => sendto(0, null, 0, 0, Buffer.alloc(16), 16),
  sendmsg: () => syscall(46, 0, 0, 0, 0),
  sendmmsg: () => syscall(307, 0, 0, 0, 0),
  fork: () => syscall(57, 0, 0, 0, 0),
  'process by clone': () => syscall(56, 17, 0, 0, 0),
  spawn: () => spawn('/bin/true'),
  execve: () => syscall(59, 0, 0, 0, 0),
  ptrace: () => syscall(101, 0, 0, 0, 0),
  mount: () => syscall(165, 0, 0, 0, 0),
  unshare: () => syscall(272, 0x10000000, 0, 0, 0),
  setns: () => syscall(308, 0, 0, 0, 0),
  bpf: () => syscall(321, 0, 0, 0, 0),
  userfaultfd: () => syscall(323, 0, 0, 0, 0),
  perf_event_open: () => syscall(298, 0, 0, 0, 0),
  keyctl: () => syscall(250, 0, 0, 0, 0),
  io_uring_setup: () => syscall(425, 1, 0, 0, 0),
  'kill another': () => syscall(62, process.ppid, 9, 0, 0),
  'tgkill another': () => syscall(234, process.ppid, process.ppid, 0, 0),
  'create a VM': () => syscall(16, 0, 0xae01, 0, 0),
  TIOCSTI: () => syscall(16, 0, 0x5412, 0, 0),
  'lift a limit': () => syscall(302, 0, 7, 1, 0),
  'device node': () => syscall(259, -100, 0, 0o020600, 0),
  'from another thread': () => void new IoctlThread(0, 0xae01),
};

async function main([action, data]: string[]): Promise<unknown> {
  if (action === 'look' || action === 'look removing') return look(data!, '/shares/0');
  if (action === 'live') return live(data!);
  if (action === 'network') return network(Number(data));
  if (action === 'resolver') return resolver(Number(data));
  if (action === 'crimes') return Object.keys(CRIMES);
  const crime = CRIMES[data!];
  if (!crime) throw new Error(`no crime "${data}"`);
  lockDown({ again: false });
  crime();
  // whoever broke a rule does not live so long; another thread may take its time until it does
  if (data !== 'nothing') await new Promise((after) => setTimeout(after, CRIME_PATIENCE));
  return 'survived';
}

console.log(JSON.stringify(await main(process.argv.slice(2))));
