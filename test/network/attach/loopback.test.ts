/**
 * What listens on the host's loopback, and what a container on the default network gets to see of it: nothing, whatever
 * frames it builds and wherever it binds. What listens on the host's own address answers, as on every machine of the
 * network: so that this would be seen.
 */
import { spawn, type ChildProcess } from 'node:child_process';
import { accessSync, constants, readFileSync } from 'node:fs';
import { networkInterfaces } from 'node:os';
import test from 'ava';
import { busyboxTar, missingImageTools } from '../../fixtures/images.ts';
import { people } from './people.ts';

/** UDP, of the address that it is given: says which port it has, then what it was sent */
const SERVER = `
import socket, sys
server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); server.bind((sys.argv[1], 0))
print(server.getsockname()[1], flush=True)
while True:
    data, client = server.recvfrom(100); print(data.decode(), flush=True); server.sendto(b'answer', client)
`;
/**
 * In the container's network namespace, with every right there: to each address and port a datagram in a frame of its
 * own making (AF_PACKET), to the gateway's hardware address, and one from a socket bound to eth0 (SO_BINDTODEVICE).
 */
const ATTACKER = `
import fcntl, socket, struct, sys
asked = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); asked.settimeout(10)
def of(request): return fcntl.ioctl(asked.fileno(), request, struct.pack('256s', b'eth0'))
own, mac = socket.inet_ntoa(of(0x8915)[20:24]), of(0x8927)[18:24]
gateway = own.rsplit('.', 1)[0] + '.1'
# the gateway refuses it, and by then its hardware address is known
try: asked.connect((gateway, 9)); asked.send(b'x'); asked.recv(1)
except OSError: pass
[line] = [line for line in open('/proc/net/arp') if line.startswith(gateway + ' ')]
router = bytes(int(part, 16) for part in line.split()[3].split(':'))
def checksum(header):
    total = sum(struct.unpack('!10H', header)); total = (total >> 16) + (total & 0xffff); return ~(total + (total >> 16)) & 0xffff
raw = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3)); raw.bind(('eth0', 0))
bound = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); bound.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b'eth0')
targets = [target.rsplit(':', 1) for target in sys.argv[1:]]
for host, port in targets:
    data = b'frame ' + host.encode()
    udp = struct.pack('!4H', 40000, int(port), 8 + len(data), 0) + data
    header = struct.pack('!BBHHHBBH4s4s', 0x45, 0, 20 + len(udp), 1, 0, 64, 17, 0, socket.inet_aton(own), socket.inet_aton(host))
    raw.send(router + mac + b'\\x08\\x00' + header[:10] + struct.pack('!H', checksum(header)) + header[12:] + udp)
    try: bound.sendto(b'bound ' + host.encode(), (host, int(port)))
    except OSError: pass
# the last target is one that answers: what was sent before it has arrived as well, or never will
bound.settimeout(10)
while bound.recvfrom(100)[1][0] != targets[-1][0]: pass
print('done')
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
  return own === undefined ? 'needs an address of this host beyond its loopback' : missingImageTools();
}

const why = missing();
const everybody = why === undefined ? people() : [];
const servers: ChildProcess[] = [];
test.after.always(() => {
  for (const server of servers) server.kill('SIGKILL');
  for (const person of everybody) person[Symbol.dispose]();
});

/** @returns its port; `end` ends it, and gives everything that it was sent */
async function serve(address: string): Promise<{ port: string; end(): Promise<string[]> }> {
  const server = spawn('python3', ['-c', SERVER, address], { stdio: ['ignore', 'pipe', 'inherit'] });
  servers.push(server);
  let said = '';
  server.stdout.setEncoding('utf8').on('data', (text: string) => (said += text));
  await new Promise((heard) => server.stdout.once('data', heard));
  const lines = () => said.split('\n').filter(Boolean);
  const end = async () => {
    server.kill('SIGKILL');
    await new Promise((closed) => server.once('close', closed));
    return lines().slice(1).sort();
  };
  return { port: lines()[0]!, end };
}

const title = "the host's loopback gets nothing of a container, whatever frames it sends; the host's own address does";
if (why !== undefined) test.skip(`${title}: ${why}`, () => {});
else
  test(title, async (t) => {
    const root = everybody.find(({ name }) => name === 'root')!;
    t.is(root.run(['sh', '-c', 'cat >i.tar'], { input: readFileSync(busyboxTar()) }).status, 0);
    t.is(root.husk('import', 'i.tar', 'box').status, 0);
    const [loopback, reached] = [await serve('127.0.0.1'), await serve(own!)];
    const started = root.husk('run', '-d', '--name=evil', 'box', 'sleep', '1000');
    t.is(started.status, 0, started.stderr);
    const pid = root.husk('inspect', '-f', '{{.State.Pid}}', 'evil').stdout.trim();
    const gateway = root.husk('inspect', '-f', '{{.NetworkSettings.Gateway}}', 'evil').stdout.trim();
    // of `out`, which is pasta's: the two ends, and the address by which it forwards to the host's resolver
    const ways = ['127.0.0.1', '127.8.8.8', gateway, '169.254.2.1', '169.254.2.2', '169.254.1.1', '0.0.0.0'];
    const targets = [...ways.map((host) => `${host}:${loopback.port}`), `${own}:${reached.port}`];
    const entered = ['nsenter', '-t', pid, '-U', '-n', '-S', '0', '-G', '0', 'python3', '-'];
    const { stdout, stderr } = root.run([...entered, ...targets], { input: ATTACKER });
    t.is(stderr, '');
    t.is(stdout, 'done\n');
    t.deepEqual(await loopback.end(), []);
    t.deepEqual(await reached.end(), [`bound ${own}`, `frame ${own}`]);
    root.husk('rm', '-f', 'evil');
  });
