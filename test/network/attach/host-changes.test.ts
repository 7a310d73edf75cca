/**
 * What changes on the host while containers run: a host without any route that gets one, and another resolv.conf. In a
 * network and a mount namespace of the test's own, which stand for the host.
 */
import type { ChildProcess } from 'node:child_process';
import { accessSync, constants, existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import test, { type ExecutionContext } from 'ava';
import { findProgram } from '../../../src/rootless/programs.ts';
import { busyboxTar, missingImageTools } from '../../fixtures/images.ts';
import { HUSK, ROOT } from '../../fixtures/user.ts';
import { people, type Person } from './people.ts';

/** ms; a machine with much to do is slow */
const PATIENCE = 120_000;
/** of TEST-NET-2, RFC 5737 */
const NEIGHBOUR = '198.51.100.1';

const SERVER = `
import socket, sys
server = socket.create_server((sys.argv[1], 7000)); print('ready', flush=True)
while True:
    client, _ = server.accept(); client.sendall(b'reached\\n'); client.close()
`;
/** answers every question with one address */
const RESOLVER = `
import socket, sys
server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); server.bind((sys.argv[1], 53)); print('ready', flush=True)
while True:
    query, client = server.recvfrom(512)
    end = query.index(b'\\0', 12) + 5
    record = b'\\xc0\\x0c\\0\\x01\\0\\x01\\0\\0\\0\\x05\\0\\x04' + socket.inet_aton(sys.argv[2])
    wanted = query[end - 4:end - 2] == b'\\0\\x01'
    server.sendto(query[:2] + b'\\x81\\x80\\0\\x01\\0' + bytes([wanted]) + b'\\0\\0\\0\\0' + query[12:end] + (record if wanted else b''), client)
`;

function missing(): string | undefined {
  if (process.getuid!() !== 0) return 'needs root, who makes the namespaces';
  try {
    accessSync('/dev/net/tun', constants.R_OK | constants.W_OK);
  } catch {
    return 'needs /dev/net/tun';
  }
  if (!existsSync(join(ROOT, 'dist/husk.cjs'))) return 'needs make build';
  return findProgram('pasta', '/usr/bin') ? missingImageTools() : 'needs pasta';
}

const why = missing();
const started: ChildProcess[] = [];
const everybody: Person[] = [];
test.after.always(() => {
  for (const child of started) child.kill('SIGKILL');
  for (const person of everybody) person[Symbol.dispose]();
});

async function until(ask: () => string, expected: string): Promise<string> {
  for (const start = Date.now(); ; await sleep(50)) {
    const said = ask();
    if (said === expected || Date.now() - start > PATIENCE) return said;
  }
}

/** Root in a host of its own: with a loopback, no route and this resolv.conf. */
async function host(t: ExecutionContext, resolvConf: string) {
  const [user, root] = people() as [Person, Person];
  everybody.push(user, root);
  const file = join(root.dataRoot, '../../resolv.conf');
  writeFileSync(file, resolvConf);
  const first = (child: ChildProcess) => new Promise((heard) => child.stdout!.once('data', heard));
  const script = `mount --bind ${file} /etc/resolv.conf && ip link set lo up && echo up && exec sleep 100000`;
  const init = root.start(['unshare', '--net', '--mount', 'sh', '-c', script]);
  started.push(init);
  await first(init);
  const inside = ['nsenter', '--net', '--mount', '--target', String(init.pid)];
  const run = (...command: string[]) => root.run([...inside, ...command]);
  const says = (...args: string[]): string => {
    const { status, stdout, stderr } = run(HUSK, ...args);
    t.deepEqual([status, stderr], [0, ''], args.join(' '));
    return stdout.trim();
  };
  const serve = async (...command: string[]) => {
    const child = root.start([...inside, 'python3', '-c', ...command]);
    started.push(child);
    await first(child);
  };
  t.is(root.run([...inside, HUSK, 'import', '-', 'box'], { input: readFileSync(busyboxTar()) }).status, 0);
  return { file, run, says, serve };
}

const body = (title: string, implementation: (t: ExecutionContext) => Promise<void>) =>
  why === undefined ? test.serial(title, implementation) : test.serial.skip(`${title}: ${why}`, implementation);

body('a host without any route: networks, names and ports work, and the way out when there is one', async (t) => {
  const { run, says, serve } = await host(t, '');
  says('network', 'create', 'net');
  says(
    'run',
    '-d',
    '--name=web',
    '--network=net',
    '-p',
    '127.0.0.1:8080:80',
    'box',
    'nc',
    '-ll',
    '-p',
    '80',
    '-e',
    'echo',
    'web',
  );
  t.is(says('run', '--rm', '--network=net', 'box', 'nc', 'web', '80'), 'web');
  const client = "import socket; print(socket.create_connection(('127.0.0.1', 8080), 60).recv(100).decode(), end='')";
  t.is(run('python3', '-c', client).stdout, 'web\n');
  // its side stays open until the server has closed, or nothing has come: see flood.test.ts
  const reach = `[ -p /open ] || mkfifo /open; timeout 60 nc -w 5 ${NEIGHBOUR} 7000 <>/open 2>/dev/null`;
  const out = () => run(HUSK, 'exec', 'web', 'sh', '-c', reach).stdout.trim();
  t.is(out(), '');
  for (const command of [
    'ip link add lan type veth peer name lan2',
    `ip addr add ${NEIGHBOUR}/24 dev lan`,
    'ip link set lan up',
    'ip link set lan2 up',
  ])
    t.is(run(...command.split(' ')).status, 0, command);
  await serve(SERVER, NEIGHBOUR);
  t.is(await until(out, 'reached'), 'reached');
  says('rm', '-f', 'web');
});

body('another resolv.conf: for whoever starts from then on; who runs asks as before, as with Docker', async (t) => {
  const { file, run, says, serve } = await host(t, 'nameserver 127.0.0.53\n');
  await serve(RESOLVER, '127.0.0.53', '203.0.113.1');
  await serve(RESOLVER, '127.0.0.54', '203.0.113.2');
  says('network', 'create', 'net');
  says('run', '-d', '--name=first', '--network=net', 'box', 'sleep', '1000');
  const ask = (name: string) =>
    /203\.0\.113\.\d/.exec(run(HUSK, 'exec', name, 'nslookup', '-type=a', 'example.org').stdout)?.[0];
  t.is(ask('first'), '203.0.113.1');
  writeFileSync(file, 'nameserver 127.0.0.54\n');
  says('run', '-d', '--name=second', '--network=net', 'box', 'sleep', '1000');
  t.is(ask('second'), '203.0.113.2');
  t.is(ask('first'), '203.0.113.1');
  says('restart', '-t', '0', 'first');
  t.is(ask('first'), '203.0.113.2');
  says('rm', '-f', 'first', 'second');
});
