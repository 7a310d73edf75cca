/**
 * A container that opens as many flows as it can: it has 4096 of them at once and no more, and its neighbour on the
 * same network, with the same way out, goes on as before.
 */
import { spawn, type ChildProcess } from 'node:child_process';
import { accessSync, constants, existsSync, readFileSync } from 'node:fs';
import { networkInterfaces } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import test from 'ava';
import { KEEPER_FD } from '../../../src/network/keeper.ts';
import { busyboxTar, missingImageTools } from '../../fixtures/images.ts';
import { ROOT } from '../../fixtures/user.ts';
import { people, type Person } from './people.ts';

/** flows of one source: src/network/rules.ts */
const BOUND = 4096;
const TRIED = 6000;

/** answers whoever connects, on a port that it says; there is nobody at the UDP port of that number */
const SERVER = `
import socket, sys
server = socket.create_server((sys.argv[1], 0), backlog=1000); print(server.getsockname()[1], flush=True)
while True:
    client, _ = server.accept(); client.sendall(b'answer\\n'); client.close()
`;
/** a datagram from each of so many sockets, over and over; says each time how many have been refused so far */
const FLOOD = `
import resource, socket, sys
hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]; resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
host, port, tried = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
sockets = []
for _ in range(tried):
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.connect((host, port)); sockets.append(s)
print('flood', flush=True)
refused = set()
while True:
    for index, s in enumerate(sockets):
        try: s.send(b'x')
        except OSError: refused.add(index)
    print(len(refused), flush=True)
`;

const own = Object.values(networkInterfaces())
  .flatMap((infos) => infos ?? [])
  .find(({ family, internal }) => family === 'IPv4' && !internal)?.address;

function missing(): string | undefined {
  if (process.getuid!() !== 0) return 'needs root, for whom a container has a way out here (/dev/net/tun)';
  try {
    accessSync('/dev/net/tun', constants.R_OK | constants.W_OK);
  } catch {
    return 'needs /dev/net/tun';
  }
  if (!existsSync(join(ROOT, 'dist/husk.cjs'))) return 'needs make build';
  return own === undefined ? 'needs an address of this host beyond its loopback' : missingImageTools();
}

const why = missing();
const everybody = why === undefined ? people() : [];
const started: ChildProcess[] = [];
test.after.always(() => {
  for (const child of started) child.kill('SIGKILL');
  for (const person of everybody) person[Symbol.dispose]();
});

/** The next line of a program, of as many as it says. */
function lines(child: ChildProcess): () => Promise<string> {
  const iterator = child.stdout!.setEncoding('utf8').iterator() as AsyncIterator<string>;
  let text = '';
  return async () => {
    while (!text.includes('\n')) {
      const { value, done } = await iterator.next();
      if (done) throw new Error('the program has ended');
      text += value;
    }
    const at = text.indexOf('\n');
    const line = text.slice(0, at);
    text = text.slice(at + 1);
    return line;
  };
}

/** Connections that the default network's namespace knows of, in which its containers' flows out are counted. */
function flowsOf(person: Person): number {
  using database = new DatabaseSync(join(person.dataRoot, 'husk.db'), { readOnly: true });
  const row = database.prepare('SELECT keeper FROM network_runtime').get() as { keeper: string };
  const { pid } = JSON.parse(row.keeper) as { pid: number };
  const namespace = `--net=/proc/${pid}/fd/${KEEPER_FD.network}`;
  return Number(person.run(['nsenter', namespace, 'cat', '/proc/sys/net/netfilter/nf_conntrack_count']).stdout);
}

const title = `one container opens ${TRIED} flows: it has ${BOUND}, and its neighbour is served as before`;
if (why !== undefined) test.skip(`${title}: ${why}`, () => {});
else
  test(title, async (t) => {
    t.timeout(15 * 60_000);
    const root = everybody.find(({ name }) => name === 'root')!;
    const says = (...args: string[]): string => {
      const { status, stdout, stderr } = root.husk(...args);
      t.is(status, 0, `${args.join(' ')}: ${stderr}`);
      return stdout.trim();
    };
    t.is(root.run(['sh', '-c', 'cat >i.tar'], { input: readFileSync(busyboxTar()) }).status, 0);
    says('import', 'i.tar', 'box');
    const server = spawn('python3', ['-c', SERVER, own!], { stdio: ['ignore', 'pipe', 'inherit'] });
    started.push(server);
    const serverSays = lines(server);
    const port = await serverSays();
    for (const name of ['bad', 'good', 'friend'])
      says('run', '-d', `--name=${name}`, 'box', 'nc', '-ll', '-p', '80', '-e', 'echo', 'friend');
    const friend = says('inspect', '-f', '{{.NetworkSettings.IPAddress}}', 'friend');
    // its side stays open until the server has closed: a pasta of 2023 sends one that closes it first the same bytes
    // over and over, or nothing
    const reach = `timeout 60 nc -w 5 ${own} ${port} <>/open`;
    const measure = `mkfifo /open; for i in $(seq 10); do ${reach}; nc -w 5 ${friend} 80 </dev/null; done`;
    const expected = Array(10).fill('answer\nfriend').join('\n');
    const good = () => root.husk('exec', 'good', 'sh', '-c', measure).stdout.trim();
    const pid = says('inspect', '-f', '{{.State.Pid}}', 'bad');
    const entered = ['nsenter', '-t', pid, '-U', '-n', '-S', '0', '-G', '0', 'python3', '-c', FLOOD];
    const flood = spawn(entered[0]!, [...entered.slice(1), own!, port, String(TRIED)], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    started.push(flood);
    const floodSays = lines(flood);
    t.is(await floodSays(), 'flood');
    await floodSays();
    const connections = flowsOf(root);
    t.true(connections > BOUND / 2 && connections <= BOUND, `${connections} flows`);
    t.is(good(), expected);
    // the neighbour's own are few, and a refusal is told, though not each of them: the kernel sends few such messages
    t.true(flowsOf(root) <= BOUND + 200);
    for (let refused = 0; refused === 0;) refused = Number(await floodSays());
    flood.kill('SIGKILL');
    says('rm', '-f', 'bad', 'good', 'friend');
  });
