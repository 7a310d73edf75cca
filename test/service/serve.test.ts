/** `husk serve` and its kin as an ordinary user: life and end of a server, sockets of systemd, compose, dial-stdio. */
import { once } from 'node:events';
import { chmodSync, existsSync, mkdirSync, readFileSync, readlinkSync, statSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import test from 'ava';
import { HUSK, ordinaryUser, ROOT, type TestUser } from '../fixtures/user.ts';
import { ask, begin, dial, readAll, serveAs } from './fixture.ts';

/** longer than a busy machine takes from a server's first line to the first request of a test */
const IDLE = '20s';

const built = existsSync(`${ROOT}/dist/husk-main.cjs`) ? test : test.skip;

built('a socket of the user alone, and the link for tools; both are gone at the end', async (t) => {
  using user = ordinaryUser();
  const link = join(user.home, 'run/docker.sock');
  let socket: string;
  {
    await using server = await serveAs(user);
    ({ socket } = server);
    t.is((await ask(server, 'GET', '/_ping')).text, 'OK');
    t.is(statSync(socket).mode & 0o777, 0o600);
    t.is(statSync(dirname(socket)).mode & 0o777, 0o700);
    t.is(readlinkSync(link), socket);
    const { status, stderr } = user.husk('serve');
    t.is(status, 1);
    t.regex(stderr, /^Error: cannot listen at \S+: somebody serves there already\nFix: /);
    t.is((await ask(server, 'GET', '/_ping')).text, 'OK');
  }
  t.false(existsSync(socket));
  t.throws(() => readlinkSync(link));
});

built('at SIGTERM streams end at once', async (t) => {
  using user = ordinaryUser();
  let events: Awaited<ReturnType<typeof begin>>;
  {
    await using server = await serveAs(user);
    events = await begin(server, 'GET', '/events');
    t.is(events.head.status, 200);
  }
  await t.notThrowsAsync(
    readAll(events.stream).catch((error: NodeJS.ErrnoException) => t.is(error.code, 'ECONNRESET')),
  );
});

built('--idle-timeout: it ends although a connection without a request is open', async (t) => {
  using user = ordinaryUser();
  const socket = join(user.home, 'run/husk/docker.sock');
  const child = user.start([HUSK, 'serve', `--idle-timeout=${IDLE}`], { stdio: ['ignore', 'pipe', 'inherit'] });
  const exited = once(child, 'exit');
  await once(child.stdout!, 'data');
  const connection = await dial({ socket });
  connection.write('GET /_ping HTTP/1.1\r\nHost: x\r\n\r\n');
  await once(connection, 'readable');
  t.deepEqual(await exited, [0, null]);
  connection.destroy();
});

built('memory is given back while nobody asks, and it still answers', async (t) => {
  using user = ordinaryUser();
  await using server = await serveAs(user);
  // Pages of files: text of Node's that its start took.
  const resident = () => Number(/^RssFile:\s+(\d+)/m.exec(readFileSync(`/proc/${server.pid}/status`, 'latin1'))![1]);
  await ask(server, 'GET', '/info');
  const busy = resident();
  while (resident() > busy / 2) await sleep(100);
  t.is((await ask(server, 'GET', '/_ping')).text, 'OK');
});

/** Starts `husk serve` as systemd does: a listening socket is descriptor 3, and LISTEN_PID its own pid. */
function activated(user: TestUser, path: string) {
  const script = [
    'import os, socket, sys',
    's = socket.socket(socket.AF_UNIX); s.bind(sys.argv[1]); s.listen(8)',
    'os.dup2(s.fileno(), 3)',
    'os.set_inheritable(3, True)',
    "os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS='1')",
    'os.execv(sys.argv[2], sys.argv[2:])',
  ].join('\n');
  return user.start(['python3', '-c', script, path, HUSK, 'serve', `--idle-timeout=${IDLE}`], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
}

built('a socket of systemd: a request before the start is answered, the socket stays at the end', async (t) => {
  using user = ordinaryUser();
  const socket = join(user.home, 'activated.sock');
  const child = activated(user, socket);
  const exited = once(child, 'exit');
  const [line] = (await once(child.stdout!, 'data')) as [Buffer];
  t.is(String(line), 'husk serves the Docker Engine API at fd://3\n');
  t.is((await ask({ socket }, 'GET', '/_ping')).text, 'OK');
  t.deepEqual(await exited, [0, null]);
  t.true(existsSync(socket));
  t.false(existsSync(join(user.home, 'run/docker.sock')));
});

const ACTIVATE = '/usr/bin/systemd-socket-activate';
const withSystemd = existsSync(ACTIVATE) ? built : test.skip;
withSystemd(
  `systemd's own activation: started by a request, ended when idle${existsSync(ACTIVATE) ? '' : ` (no ${ACTIVATE}: apt install systemd)`}`,
  async (t) => {
    using user = ordinaryUser();
    const socket = join(user.home, 'activated.sock');
    const passed = ['XDG_RUNTIME_DIR', 'XDG_DATA_HOME', 'XDG_CONFIG_HOME'].flatMap((name) => ['-E', name]);
    const words = [ACTIVATE, '-l', socket, ...passed, HUSK, 'serve', '--idle-timeout=8s'];
    const child = user.start(words, { stdio: ['ignore', 'pipe', 'pipe'] });
    const exited = once(child, 'exit');
    // It says that it listens, and becomes husk by execve(2) when somebody has connected.
    await once(child.stderr!, 'data');
    child.stderr!.resume();
    const said = once(child.stdout!, 'data');
    t.is((await ask({ socket }, 'GET', '/_ping')).text, 'OK');
    t.is(String((await said)[0]), 'husk serves the Docker Engine API at fd://3\n');
    t.deepEqual(await exited, [0, null]);
    t.true(existsSync(socket));
  },
);

built('doctor tells of a server that listens on TCP, for as long as it does', async (t) => {
  using user = ordinaryUser();
  const told = (): string[] =>
    user
      .husk('doctor', '--format', '{{.Status}} {{.Name}}: {{.Value}}')
      .stdout.split('\n')
      .filter((line) => line.includes('api over tcp'));
  t.deepEqual(told(), []);
  await using server = await serveAs(user, '-H', 'tcp://127.0.0.1:0', '--tls=false');
  const [line] = told();
  t.regex(
    line ?? '',
    /^warn api over tcp: whoever reaches it is you: tcp:\/\/127\.0\.0\.1:\d+, without TLS \(pid \d+\)$/,
  );
  t.true(line!.endsWith(`(pid ${server.pid})`));
  process.kill(server.pid, 'SIGKILL');
  while (existsSync(`/proc/${server.pid}/exe`)) await sleep(50);
  t.deepEqual(told(), []);
});

for (const [flags, message] of [
  [
    ['-H', 'tcp://127.0.0.1:0'],
    /^Error: tcp:\/\/127\.0\.0\.1 without TLS: whoever reaches the API is you\nFix: use --tlsverify/,
  ],
  [['-H', 'tcp://0.0.0.0:0', '--tls=false'], /^Error: tcp:\/\/0\.0\.0\.0 without TLS: that is no loopback address\n/],
  [
    ['-H', 'tcp://127.0.0.1:0', '--tlscert', '/x'],
    /^Error: TLS needs --tlsverify, --tlscacert, --tlscert and --tlskey together\n/,
  ],
  [['-H', 'ftp://x'], /^Error: invalid address "ftp:\/\/x"\nFix: use unix:\/\/\/PATH or tcp:\/\/ADDRESS:PORT\n/],
] as const)
  built(`refused: serve ${flags.join(' ')}`, (t) => {
    using user = ordinaryUser();
    const { status, stderr } = user.husk('serve', ...flags);
    t.is(status, 1);
    t.regex(stderr, message);
  });

/** A program in the user's cli-plugins. */
function plugin(user: TestUser, name: string, script: string): void {
  const folder = join(user.home, '.docker/cli-plugins');
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, name), `#!/bin/sh\n${script}`);
  chmodSync(join(folder, name), 0o755);
}

const SHOW =
  'echo "$@"; echo "$DOCKER_HOST" "${DOCKER_CONTEXT-none}"; stat -c %a "$(dirname "${DOCKER_HOST#unix://}")"; cat; exit 7';
for (const name of ['compose', 'buildx'])
  built(
    `husk ${name}: Docker's own program, over a server of its own, with its arguments, stdin and exit code`,
    (t) => {
      using user = ordinaryUser();
      plugin(user, `docker-${name}`, SHOW);
      const words = name === 'compose' ? ['--profile', 'x', 'up', '--help', '-d'] : ['bake', '--print', '-f', 'x'];
      const { status, stdout, stderr } = user.run([HUSK, name, ...words], {
        input: 'stdin',
        env: { DOCKER_HOST: 'unix:///other/engine.sock', DOCKER_CONTEXT: 'other' },
      });
      const [said, host, mode, rest] = stdout.split('\n');
      t.is(said, words.join(' '));
      t.regex(host!, new RegExp(`^unix://${user.home}/run/husk/api-\\w+/docker.sock none$`));
      t.deepEqual([mode, rest, status], ['700', 'stdin', 7], stderr);
      t.false(existsSync(dirname(host!.slice('unix://'.length).split(' ')[0]!)));
    },
  );

built('husk compose: a server that runs is used, and a signal is the exit code', async (t) => {
  using user = ordinaryUser();
  plugin(user, 'docker-compose', 'echo "$DOCKER_HOST"; kill -TERM $$');
  await using server = await serveAs(user);
  const { status, stdout } = user.run([HUSK, 'compose', 'ps'], { env: { DOCKER_HOST: server.host } });
  t.deepEqual([status, stdout], [143, `${server.host}\n`]);
});

built('husk compose: SIGTERM is handed on', async (t) => {
  using user = ordinaryUser();
  plugin(user, 'docker-compose', "trap 'echo ended; exit 3' TERM; echo begun; while :; do sleep 0.1; done");
  const child = user.start([HUSK, 'compose', 'up'], { stdio: ['ignore', 'pipe', 'inherit'] });
  // its output has ended too
  const exited = once(child, 'close');
  let said = '';
  const begun = new Promise<void>((resolve) =>
    child.stdout!.on('data', (text: Buffer) => {
      said += String(text);
      if (said.includes('begun')) resolve();
    }),
  );
  await begun;
  child.kill('SIGTERM');
  t.deepEqual(await exited, [3, null]);
  t.is(said, 'begun\nended\n');
});

built('husk compose without compose: one line with the fix', (t) => {
  using user = ordinaryUser();
  const { status, stderr } = user.husk('compose', 'up');
  // where this machine has compose in a folder of the system it runs, and finds no file
  if (status === 127)
    t.regex(
      stderr,
      /^Error: husk compose runs Docker's docker-compose, which is not installed\nFix: apt install docker-compose/,
    );
  else
    t.true(
      existsSync('/usr/libexec/docker/cli-plugins/docker-compose') ||
        existsSync('/usr/lib/docker/cli-plugins/docker-compose') ||
        existsSync('/usr/local/lib/docker/cli-plugins/docker-compose'),
    );
});

built('dial-stdio: starts a server that others of it share', async (t) => {
  using user = ordinaryUser();
  const request = 'GET /_ping HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n';
  const dialled = () => user.start([HUSK, 'system', 'dial-stdio'], { stdio: ['pipe', 'pipe', 'inherit'] });
  const children = [dialled(), dialled(), dialled()];
  const answers = await Promise.all(
    children.map((child) => {
      child.stdin!.write(request);
      return readAll(child.stdout!);
    }),
  );
  for (const answer of answers) t.regex(answer.toString(), /^HTTP\/1\.1 200 OK\r\n[\s\S]*\r\n\r\nOK$/);
  const socket = join(user.home, 'run/husk/docker.sock');
  t.is((await ask({ socket }, 'GET', '/_ping')).text, 'OK');
  await endServer(user, socket);
});

/** Ends the server that listens on a socket of this test's own user, by the pid that the kernel tells of it. */
async function endServer(user: TestUser, socket: string): Promise<void> {
  const script = `import os, signal, socket, struct
s = socket.socket(socket.AF_UNIX); s.connect(${JSON.stringify(socket)})
pid, = struct.unpack('i', s.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)[:4])
os.kill(pid, signal.SIGTERM)
s.recv(1)`;
  const child = user.start(['python3', '-c', script], { stdio: 'ignore' });
  await once(child, 'exit');
}
