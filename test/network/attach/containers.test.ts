/**
 * Containers on networks, as a person at a terminal has them: bin/husk in user namespaces, as an ordinary user and as
 * root. What is reached, by which name, what is not; what is killed comes back, and what has ended leaves nothing.
 */
import type { ChildProcess } from 'node:child_process';
import { closeSync, existsSync, fstatSync, openSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { networkInterfaces } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { setTimeout as sleep } from 'node:timers/promises';
import test, { type ExecutionContext } from 'ava';
import type { ProcessIdentity } from '../../../src/state/process-identity.ts';
import { isAlive } from '../../../src/state/process-identity.ts';
import { findProgram } from '../../../src/rootless/programs.ts';
import { busyboxTar, missingImageTools } from '../../fixtures/images.ts';
import { ROOT } from '../../fixtures/user.ts';
import { people, type Person } from './people.ts';

const ready = existsSync(join(ROOT, 'dist/husk.cjs')) && missingImageTools() === undefined;
const everybody = ready ? people() : [];
test.after.always(() => everybody.forEach((person) => person[Symbol.dispose]()));

/** ms; a machine with much to do is slow */
const PATIENCE = 60_000;

async function until(holds: () => boolean): Promise<boolean> {
  for (const start = Date.now(); Date.now() - start < PATIENCE; await sleep(20)) if (holds()) return true;
  return false;
}

/** a server of TCP and UDP at one port, which says to each client which address it has seen */
const SERVER = `
import socket, threading
def of(address): return (address[0].removeprefix('::ffff:') + '\\n').encode()
def tcp():
    server = socket.create_server(('::', 7), family=socket.AF_INET6, dualstack_ipv6=True)
    print('ready', flush=True)
    while True:
        client, address = server.accept()
        client.sendall(of(address)); client.close()
def udp():
    server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); server.bind(('0.0.0.0', 7))
    while True:
        _, address = server.recvfrom(2048); server.sendto(of(address), address)
threading.Thread(target=udp, daemon=True).start(); tcp()
`;
/** why a way out is not tried: /dev/net/tun is often root's alone */
const NO_WAY_OUT = 'needs root, /dev/net/tun and pasta';
/** on any port, which it says */
const HOST_SERVER = `
import socket, sys
server = socket.create_server((sys.argv[1], 0)); print(server.getsockname()[1], flush=True)
while True:
    client, _ = server.accept(); client.sendall(b'reached\\n'); client.close()
`;
const CLIENT = `
import socket, sys
kind, host, port = sys.argv[1:]
s = socket.socket(socket.AF_INET6 if ':' in host else socket.AF_INET, socket.SOCK_STREAM if kind == 'tcp' else socket.SOCK_DGRAM)
s.settimeout(10); s.connect((host, int(port)))
if kind == 'udp': s.send(b'x')
print(s.recv(100).decode(), end='')
`;

function commandsOf(t: ExecutionContext, person: Person) {
  /** what it printed, of a command that must succeed */
  const says = (...args: string[]): string => {
    const { status, stdout, stderr } = person.husk(...args);
    t.is(status, 0, `${args.join(' ')}: ${stderr}`);
    return stdout;
  };
  const refused = (...args: string[]): string => {
    const { status, stderr } = person.husk(...args);
    t.not(status, 0, args.join(' '));
    return stderr.split('\n')[0]!;
  };
  const sh = (network: string, script: string, ...flags: string[]) =>
    person.husk('run', '--rm', `--network=${network}`, ...flags, 'box', 'sh', '-c', script).stdout;
  const client = (kind: 'tcp' | 'udp', host: string, port: string) =>
    person.run(['python3', '-c', CLIENT, kind, host, port]).stdout.trim();
  const portOf = (name: string, port: string) => says('port', name, port).split('\n')[0]!.split(':').at(-1)!;
  const rows = (sql: string) => {
    using database = new DatabaseSync(join(person.dataRoot, 'husk.db'), { readOnly: true });
    return database.prepare(sql).all() as Record<string, string>[];
  };
  const keeper = (network: string) => {
    const id = says('network', 'inspect', '-f', '{{.Id}}', network).trim();
    const [row] = rows(`SELECT keeper FROM network_runtime WHERE network_id = '${id}'`);
    return JSON.parse(row!['keeper']!) as ProcessIdentity;
  };
  const pidOf = (name: string) => Number(says('inspect', '-f', '{{.State.Pid}}', name));
  return { says, refused, sh, client, portOf, rows, keeper, pidOf };
}

const parentOf = (pid: number) => Number(/^PPid:\t(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, 'latin1'))![1]);

const childrenOf = (pid: number): number[] =>
  readFileSync(`/proc/${pid}/task/${pid}/children`, 'latin1').trim().split(' ').filter(Boolean).map(Number);

function supervisorOf(pid: number): number {
  let at = pid;
  while (readFileSync(`/proc/${at}/comm`, 'latin1').trim() !== 'husk-supervisor') at = parentOf(at);
  return at;
}

/** Of one that has ended: nothing. */
function commandLine(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'latin1');
  } catch {
    return '';
  }
}

const servers: ChildProcess[] = [];
test.after.always(() => servers.forEach((server) => void server.kill('SIGKILL')));

/** Runs the server in a container's network namespace, until all is over. */
async function serve(person: Person, pid: number): Promise<void> {
  const entered = ['nsenter', '--target', String(pid), '--user', '--net', '--preserve-credentials'];
  const server = person.start([...entered, 'python3', '-c', SERVER]);
  servers.push(server);
  await new Promise((heard) => server.stdout!.once('data', heard));
}

for (const person of everybody) {
  const of = (title: string) => `${title} (${person.name})`;

  test.serial(of('on the default network: an address, its gateway, and no names'), (t) => {
    t.is(person.run(['sh', '-c', 'cat >i.tar'], { input: readFileSync(busyboxTar()) }).status, 0);
    t.is(person.husk('import', 'i.tar', 'box').status, 0);
    const { says, sh } = commandsOf(t, person);
    const [gateway] = says('network', 'inspect', '-f', '{{range .IPAM.Config}}{{.Gateway}}{{end}}', 'bridge').split(
      '\n',
    );
    const address = gateway!.replace(/1$/, '2');
    const printed = sh(
      'bridge',
      'ip -4 -o addr show eth0; ip route; ping -c1 -W5 $0 | grep -c " 0%"; hostname; tail -1 /etc/hosts'.replace(
        '$0',
        gateway!,
      ),
    );
    const lines = printed.trim().split('\n');
    t.true(lines[0]!.includes(`inet ${address}/16`), printed);
    t.is(lines[1]!.trim(), `default via ${gateway} dev eth0`);
    t.is(lines[3], '1', printed);
    t.is(lines.at(-1), `${address}\t${lines[4]}`);
    t.is(sh('none', 'ip -o link | wc -l; ip route'), '1\n');
  });

  const hasWayOut = person.name === 'root' && findProgram('pasta', '/usr/bin') && existsSync('/dev/net/tun');
  const wayOut = of('out to the host, and never to its loopback');
  (hasWayOut ? test.serial : test.serial.skip)(hasWayOut ? wayOut : `${wayOut}: ${NO_WAY_OUT}`, async (t) => {
    const { sh, says } = commandsOf(t, person);
    const port = async (host: string) => {
      const server = person.start(['python3', '-c', HOST_SERVER, host]);
      servers.push(server);
      return String(await new Promise((heard) => server.stdout!.once('data', heard))).trim();
    };
    const [all, loopback] = [await port('0.0.0.0'), await port('127.0.0.1')];
    const gateway = says('network', 'inspect', '-f', '{{range .IPAM.Config}}{{.Gateway}}{{end}}', 'bridge').trim();
    const ask = (host: string, at: string) => `nc -w 2 ${host} ${at} </dev/null 2>/dev/null;`;
    // its side stays open until the server has closed: a pasta of 2023 sends one that closes it first the same bytes
    // over and over, or nothing
    const reach = (host: string) => `mkfifo /open; timeout 60 nc ${host} ${all} <>/open`;
    for (const host of hostAddresses()) t.is(sh('bridge', reach(host)), 'reached\n');
    for (const _ of hostAddresses()) t.is(sh('bridge', reach('host'), '--add-host=host:host-gateway'), 'reached\n');
    const never = ['127.0.0.1', gateway, '169.254.2.1', '169.254.2.2'];
    const script = never.map((host) => ask(host, all) + ask(host, loopback)).join(' ');
    t.is(sh('bridge', `${script} echo end`), 'end\n');
  });

  test.serial(of('by name, alias and address; not from elsewhere'), async (t) => {
    const { says, sh, refused, pidOf, client, portOf } = commandsOf(t, person);
    says('network', 'create', 'one');
    says('network', 'create', 'two');
    says(
      'run',
      '-d',
      '--name=web',
      '--network=one',
      '--network-alias=www',
      '-p',
      '7',
      '-p',
      '7/udp',
      'box',
      'sleep',
      '1000',
    );
    const pid = pidOf('web');
    await serve(person, pid);
    const address = says('inspect', '-f', '{{.NetworkSettings.Networks.one.IPAddress}}', 'web').trim();
    const names = ['web', 'www', 'WWW.one', says('ps', '-q', '--filter=name=web').trim()];
    const script = names.map((name) => `nc ${name} 7 </dev/null; ping -c1 -W5 ${name} | grep -c " 0%";`).join(' ');
    const own = address.replace(/2$/, '3');
    t.is(sh('one', script), `${own}\n1\n`.repeat(names.length));
    t.is(sh('two', `ping -c1 -W1 ${address} | grep -c " 0%"; ping -c1 -W1 web 2>&1`), "0\nping: bad address 'web'\n");
    t.regex(sh('one', 'cat /etc/resolv.conf'), /^nameserver 127\.0\.0\.11\noptions ndots:0\n/);
    // published: whoever comes by the loopback is shown as the gateway, others as themselves
    const gateway = address.replace(/2$/, '1');
    for (const kind of ['tcp', 'udp'] as const) {
      const port = portOf('web', `7/${kind}`);
      t.is(client(kind, '127.0.0.1', port), gateway, kind);
      t.is(client(kind, '::1', says('port', 'web', `7/${kind}`).trim().split(':').at(-1)!), gateway, kind);
      for (const host of hostAddresses()) t.is(client(kind, host, port), host, kind);
    }
    const [shown] = JSON.parse(says('network', 'inspect', 'one')) as [
      { Containers: Record<string, { Name: string; IPv4Address: string }> },
    ];
    t.deepEqual(
      Object.values(shown.Containers).map(({ Name, IPv4Address }) => [Name, IPv4Address]),
      [['web', `${address}/16`]],
    );
    t.regex(refused('network', 'rm', 'one'), /has active endpoints \(name:"web"/);
    const taken = portOf('web', '7/tcp');
    t.regex(
      refused('run', '--name=late', '-p', `${taken}:7`, 'box', 'true'),
      new RegExp(
        `^Error: failed to set up container networking: driver failed programming external connectivity on endpoint late \\([0-9a-f]{64}\\): Bind for 0\\.0\\.0\\.0:${taken} failed: port is already allocated$`,
      ),
    );
    t.is(says('inspect', '-f', '{{.State.Status}} {{.State.ExitCode}}', 'late'), 'created 128\n');
    says('rm', 'late');
  });

  test.serial(of('icc off, internal, an address of its choice, two networks'), (t) => {
    const { says, sh, refused } = commandsOf(t, person);
    says('network', 'create', '-o', 'com.docker.network.bridge.enable_icc=false', 'apart');
    says('network', 'create', '--internal', 'inside');
    says('network', 'create', '--subnet=10.77.0.0/24', 'chosen');
    says('run', '-d', '--name=aa', '--network=apart', '--network=inside', 'box', 'sleep', '1000');
    const loss = (to: string) => `ping -c1 -W1 ${to} | grep -c " 0%";`;
    t.is(sh('apart', `${loss('aa')} ${loss("$(ip route | sed -n 's/default via \\([^ ]*\\).*/\\1/p')")}`), '0\n1\n');
    t.is(sh('inside', `${loss('aa')} ip route | grep -c default`), '1\n0\n');
    t.is(sh('chosen', 'hostname -i', '--ip=10.77.0.9'), '10.77.0.9\n');
    says('run', '-d', '--name=bb', '--network=chosen', '--ip=10.77.0.9', 'box', 'sleep', '1000');
    t.is(refused('run', '--rm', '--network=chosen', '--ip=10.77.0.9', 'box', 'true'), 'Error: Address already in use');
    t.is(says('exec', 'aa', 'sh', '-c', "ip -o -4 addr | cut -d' ' -f2"), 'lo\neth0\neth1\n');
    says('rm', '-f', 'aa', 'bb');
    says('network', 'rm', 'apart', 'inside', 'chosen');
  });

  test.serial(of('onto a network and off it while it runs'), (t) => {
    const { says, refused } = commandsOf(t, person);
    says('run', '-d', '--name=cc', '--network=two', 'box', 'sleep', '1000');
    says('network', 'connect', '--alias=dd', 'one', 'cc');
    t.is(says('exec', 'cc', 'sh', '-c', 'nc www 7 </dev/null | wc -l; ip route | grep -c default'), '1\n1\n');
    t.is(says('exec', 'web', 'sh', '-c', 'ping -c1 -W5 dd | grep -c " 0%"'), '1\n');
    t.regex(refused('network', 'connect', 'one', 'cc'), /^Error: endpoint with name cc already exists in network one/);
    says('network', 'disconnect', 'two', 'cc');
    t.regex(says('exec', 'cc', 'ip', 'route'), /^default via \S+ dev eth1/);
    says('network', 'disconnect', 'one', 'cc');
    t.is(says('exec', 'cc', 'ip', 'route'), '');
    says('rm', '-f', 'cc');
  });

  test.serial(of('a link on the default network, and a new name'), (t) => {
    const { says, sh, refused } = commandsOf(t, person);
    says('run', '-d', '--name=db', '--expose=5432', '-e', 'KIND=x', 'box', 'sleep', '1000');
    const address = says('inspect', '-f', '{{.NetworkSettings.IPAddress}}', 'db').trim();
    const script = 'ping -c1 -W5 store | grep -c " 0%"; echo $STORE_PORT $STORE_NAME $STORE_ENV_KIND';
    t.is(sh('bridge', script, '--link=db:store', '--name=user'), `1\ntcp://${address}:5432 /user/store x\n`);
    says('rm', '-f', 'db');
    says('create', '--name=db', 'box', 'true');
    const late = refused('run', '--rm', '--name=user', '--link=db', 'box', 'true');
    t.is(late, 'Error: Cannot link to a non running container: /db AS /user/db');
    says('rm', 'db');
    says('rename', 'web', 'site');
    t.is(sh('one', 'ping -c1 -W5 site | grep -c " 0%"; ping -c1 -W5 web 2>&1'), "1\nping: bad address 'web'\n");
    says('rename', 'site', 'web');
  });

  test.serial(of('a keeper, a pin and a forwarder that are killed come back'), async (t) => {
    const { keeper, client, portOf, sh, pidOf } = commandsOf(t, person);
    const first = keeper('one');
    process.kill(first.pid, 'SIGKILL');
    t.true(await until(() => keeper('one').pid !== first.pid && isAlive(keeper('one'))));
    const second = keeper('one');
    const pin = Number(commandLine(second.pid).split('\0')[7]);
    process.kill(pin, 'SIGKILL');
    t.true(await until(() => keeper('one').pid !== second.pid && isAlive(keeper('one'))));
    const supervisor = supervisorOf(pidOf('web'));
    const forwarder = () => childrenOf(supervisor).find((pid) => commandLine(pid).includes('forward'));
    const before = forwarder()!;
    t.truthy(before);
    process.kill(before, 'SIGKILL');
    t.true(await until(() => forwarder() !== undefined && forwarder() !== before));
    t.true(await until(() => client('tcp', '127.0.0.1', portOf('web', '7/tcp')) !== ''));
    t.is(sh('one', 'ping -c1 -W5 web | grep -c " 0%"'), '1\n');
  });

  test.serial(of('of a supervisor that was killed nothing is kept; the next start has it all again'), async (t) => {
    const { says, pidOf, rows, client, portOf } = commandsOf(t, person);
    const before = says('inspect', '-f', '{{.NetworkSettings.Networks.one.IPAddress}}', 'web');
    process.kill(supervisorOf(pidOf('web')), 'SIGKILL');
    t.true(await until(() => says('inspect', '-f', '{{.State.Status}}', 'web') === 'exited\n'));
    t.deepEqual([rows('SELECT * FROM leases'), rows('SELECT * FROM published_ports')], [[], []]);
    t.is(says('network', 'inspect', '-f', '{{.Containers}}', 'one'), 'map[]\n');
    says('start', 'web');
    t.is(says('inspect', '-f', '{{.NetworkSettings.Networks.one.IPAddress}}', 'web'), before);
    await serve(person, pidOf('web'));
    t.not(client('udp', '127.0.0.1', portOf('web', '7/udp')), '');
  });

  test.serial(of('nothing is left after the last container'), async (t) => {
    const { says, keeper, rows } = commandsOf(t, person);
    const kept = keeper('one');
    const pin = Number(commandLine(kept.pid).split('\0')[7]);
    // held, or another namespace had its inode as soon as it is gone
    const namespace = openSync(`/proc/${kept.pid}/fd/4`, 'r');
    t.teardown(() => closeSync(namespace));
    says('rm', '-f', 'web');
    t.deepEqual([rows('SELECT * FROM leases'), rows('SELECT * FROM published_ports')], [[], []]);
    t.true(await until(() => !isAlive(kept) && !existsSync(`/proc/${pin}`)));
    t.deepEqual(holdersOf(fstatSync(namespace).ino), []);
    says('network', 'rm', 'one', 'two');
  });
}

/** Of this host, beyond its loopback. */
function hostAddresses(): string[] {
  return Object.values(networkInterfaces())
    .flatMap((infos) => infos ?? [])
    .filter(({ family, internal }) => family === 'IPv4' && !internal)
    .map(({ address }) => address)
    .slice(0, 1);
}

/** Processes in a network namespace, of those that may be looked at. */
function holdersOf(inode: number): string[] {
  return readdirSync('/proc').filter((pid) => {
    try {
      return /^\d+$/.test(pid) && statSync(`/proc/${pid}/ns/net`).ino === inode;
    } catch {
      return false;
    }
  });
}
