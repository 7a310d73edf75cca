/**
 * `--egress` as a person at a terminal has it: bin/husk in user namespaces, as an ordinary user and as root. What is
 * asked, answered, reached and refused, by a client in the container that tries all it can; a name server of the test's
 * own on this host. Nothing of it leaves the host: what rules let through is read from the kernel's sets.
 */
import { spawnSync } from 'node:child_process';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { existsSync, readFileSync } from 'node:fs';
import { networkInterfaces } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { text } from 'node:stream/consumers';
import { setTimeout as sleep } from 'node:timers/promises';
import test, { type ExecutionContext, type Implementation } from 'ava';
import type { ProcessIdentity } from '../../../src/state/process-identity.ts';
import { addressBytes } from '../../../src/host/streams/address-bytes.ts';
import { KEEPER_FD } from '../../../src/network/keeper.ts';
import { readQuery } from '../../../src/network/names/message.ts';
import { findProgram } from '../../../src/rootless/programs.ts';
import { busyboxTar, missingImageTools } from '../../fixtures/images.ts';
import { ROOT } from '../../fixtures/user.ts';
import { A, answerTo, ASKED, CNAME, name, record } from '../names/fake-resolver.ts';
import { people, type Person } from './people.ts';

const ready = existsSync(join(ROOT, 'dist/husk.cjs')) && missingImageTools() === undefined;
const everybody = ready ? people() : [];
test.after.always(() => everybody.forEach((person) => person[Symbol.dispose]()));

/** ms; a machine with much to do is slow */
const PATIENCE = 60_000;
const HOST = Object.values(networkInterfaces())
  .flatMap((infos) => infos ?? [])
  .find(({ family, internal }) => family === 'IPv4' && !internal)?.address;
/** why a way out is not tried: /dev/net/tun is often root's alone; without one there is no route to be refused */
const NO_WAY_OUT = 'needs root, /dev/net/tun and pasta';
/** port 53 of this host is for a test that is root */
const isRoot = process.getuid!() === 0;
const hasResolver = HOST !== undefined && isRoot;

const address = (owner: Buffer, text: string) => record({ owner, type: A, data: Buffer.from(addressBytes(text)) });
/** what the test's own name server says */
const ANSWERS: Record<string, Buffer[]> = {
  'example.com': [address(ASKED, '93.184.216.34')],
  'www.example.org': [
    record({ owner: ASKED, type: CNAME, data: name('cdn.example.net') }),
    address(name('cdn.example.net'), '93.184.216.35'),
  ],
  'rebinding.example.org': ['10.0.0.1', '127.0.0.1', '169.254.169.254', HOST ?? '192.168.0.1'].map((text) =>
    address(ASKED, text),
  ),
  'inside.example.org': [
    record({ owner: ASKED, type: CNAME, data: name('private.example.org') }),
    address(name('private.example.org'), '192.168.7.7'),
  ],
  // beside nothing of its own: addresses of names that nobody asked for
  'other.example.org': [address(name('example.com'), '93.184.216.99'), address(name('evil.net'), '93.184.216.98')],
};

/** A name server at port 53 of this host. @returns the names that it was asked for */
async function nameServer(t: ExecutionContext): Promise<string[]> {
  const asked: string[] = [];
  const server = createSocket('udp4', (bytes, from) => {
    const query = readQuery(bytes);
    if (!query || 'rcode' in query) return;
    asked.push(query.name);
    server.send(
      answerTo(bytes, { answers: query.type === A ? (ANSWERS[query.name] ?? []) : [] }),
      from.port,
      from.address,
    );
  });
  server.bind(53, HOST);
  await once(server, 'listening');
  t.teardown(() => server.close());
  return asked;
}

/**
 * A client in a container's network namespace: `name NAME`, `tcp ADDRESS PORT`, `udp`, a line for each.
 */
const CLIENT = `
import socket, struct, sys
def dns(server, name):
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.settimeout(30); s.connect((server, 53))
    labels = b''.join(bytes([len(l)]) + l.encode() for l in name.split('.'))
    s.send(b'\\x12\\x34\\x01\\0\\0\\1\\0\\0\\0\\0\\0\\0' + labels + b'\\0\\0\\1\\0\\1'); a = s.recv(4096)
    count, = struct.unpack('>H', a[6:8]); ttl = struct.unpack('>I', a[-10:-6])[0] if count else 0
    return '%d %s %s' % (a[3] & 15, '.'.join(map(str, a[-4:])) if count and a[-6:-4] == b'\\0\\4' else '-', ttl)
def tcp(host, port):
    s = socket.socket(socket.AF_INET6 if ':' in host else socket.AF_INET); s.settimeout(float(sys.argv[1]))
    s.connect((host, int(port))); return 'open'
def udp(host, port):
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.settimeout(5); s.connect((host, int(port)))
    s.send(b'x'); s.recv(1); return 'answer'
for line in sys.argv[2:]:
    kind, *words = line.split()
    try: print({'name': lambda n: dns('127.0.0.11', n), 'dns': dns, 'tcp': tcp, 'udp': udp}[kind](*words))
    except OSError as error: print(type(error).__name__ if error.errno is None else error.errno)
`;
/** errno(3) */
const ECONNREFUSED = '111';
const EHOSTUNREACH = '113';
const SERVER = `
import socket, threading
def serve(port):
    s = socket.create_server(('0.0.0.0', port))
    while True: s.accept()[0].close()
for port in (80, 81): threading.Thread(target=serve, args=(port,)).start()
print('ready', flush=True)
`;

function commandsOf(t: ExecutionContext, person: Person) {
  const says = (...args: string[]): string => {
    const { status, stdout, stderr } = person.husk(...args);
    t.is(status, 0, `${args.join(' ')}: ${stderr}`);
    return stdout.trim();
  };
  const refused = (...args: string[]): string => {
    const { status, stderr } = person.husk(...args);
    t.not(status, 0, args.join(' '));
    return stderr.split('\n')[0]!;
  };
  const run = (called: string, ...flags: string[]) =>
    says('run', '-d', `--name=${called}`, ...flags, 'box', 'sleep', '1000');
  const entered = (of: string) => [
    'nsenter',
    '--target',
    says('inspect', '-f', '{{.State.Pid}}', of),
    '--user',
    '--net',
    '--preserve-credentials',
    'python3',
    '-c',
  ];
  /** @param patience s for a connection: what goes to neighbours is dropped and not refused */
  const tries = async (of: string, lines: string[], patience = 5): Promise<string[]> => {
    // not waited for in one call: the name server is this process
    const client = person.start([...entered(of), CLIENT, String(patience), ...lines]);
    return (await text(client.stdout!)).trim().split('\n');
  };
  const serve = async (of: string) => {
    const server = person.start([...entered(of), SERVER]);
    t.teardown(() => void server.kill('SIGKILL'));
    await once(server.stdout!, 'data');
  };
  const addressOn = (network: string, of: string) =>
    says('inspect', '-f', `{{(index .NetworkSettings.Networks "${network}").IPAddress}}`, of);
  const log = (...args: string[]) =>
    says(
      'network',
      'log',
      '--format',
      '{{.Container}} {{.Protocol}} {{.Destination}} {{.Port}} {{.Reason}}',
      ...args,
    ).split('\n');
  /** the rules in the kernel, of whoever keeps the network */
  const rules = (network: string): string => {
    const id = says('network', 'inspect', '-f', '{{.Id}}', network);
    using database = new DatabaseSync(join(person.dataRoot, 'husk.db'), { readOnly: true });
    const row = database.prepare('SELECT keeper FROM network_runtime WHERE network_id = ?').get(id);
    const { pid } = JSON.parse(row!['keeper'] as string) as ProcessIdentity;
    // whoever made the namespace is nobody in it: the machine's root looks, whose containers these are or not
    const { stdout, stderr, status } = spawnSync(
      'nsenter',
      [`--net=/proc/${pid}/fd/${KEEPER_FD.network}`, 'nft', 'list', 'ruleset'],
      // a package of the tests' own has an nft too
      { encoding: 'utf8', timeout: PATIENCE, env: { PATH: '/usr/sbin:/usr/bin:/sbin:/bin' } },
    );
    t.is(status, 0, stderr);
    return stdout;
  };
  return { says, refused, run, tries, serve, addressOn, log, rules };
}

/** Rules, sets and elements of containers, beside those of every network. */
const ownRules = (ruleset: string) => ruleset.match(/v[0-9a-f]{12}-\S+/g) ?? [];

function supervisorOf(pid: number): number {
  const read = (of: number, file: string) => readFileSync(`/proc/${of}/${file}`, 'latin1');
  let at = pid;
  while (read(at, 'comm').trim() !== 'husk-supervisor') at = Number(/^PPid:\t(\d+)/m.exec(read(at, 'status'))![1]);
  return at;
}

async function until(holds: () => boolean): Promise<boolean> {
  for (const start = Date.now(); Date.now() - start < PATIENCE; await sleep(20)) if (holds()) return true;
  return false;
}

for (const person of everybody) {
  const of = (title: string) => `${title} (${person.name})`;

  /** reads the kernel's sets */
  const judged = (title: string, body: Implementation<[]>) =>
    (isRoot ? test.serial : test.serial.skip)(isRoot ? title : `${title}: needs root`, body);

  test.serial(of('what cannot be meant is refused before anything is made'), (t) => {
    t.is(person.run(['sh', '-c', 'cat >i.tar'], { input: readFileSync(busyboxTar()) }).status, 0);
    t.is(person.husk('import', 'i.tar', 'box').status, 0);
    const { says, refused } = commandsOf(t, person);
    const rule = (...flags: string[]) => refused('create', ...flags, 'box', 'true');
    t.regex(rule('--egress', 'a.com:http'), /invalid egress rule "a\.com:http": "http" is no port/);
    t.regex(rule('--egress', 'none', '--egress', 'db'), /conflicting options: --egress none and other rules/);
    t.regex(rule('--egress', 'db', '--network', 'host'), /^Error: --egress db: the host's network has no rules/);
    t.regex(rule('--egress', 'db', '--network', 'container:x'), /egress rules and the container type network mode/);
    t.regex(rule(...Array<string>(257).fill('--egress=db')), /257 rules, at most 256/);
    t.is(says('ps', '-aq'), '');
  });

  const named = of('only names of rules are asked for, and their public addresses alone are let through');
  (hasResolver ? test.serial : test.serial.skip)(
    hasResolver ? named : `${named}: needs root and an address`,
    async (t) => {
      const { says, run, tries, log, rules } = commandsOf(t, person);
      const asked = await nameServer(t);
      run('one', '--egress=example.com:80', '--egress=*.example.org:443/tcp', `--dns=${HOST}`);
      t.is(says('inspect', '-f', '{{.HostConfig.Egress}}', 'one'), '[example.com:80 *.example.org:443/tcp]');
      t.regex(says('exec', 'one', 'cat', '/etc/resolv.conf'), /^nameserver 127\.0\.0\.11\n/);
      t.notRegex(rules('bridge'), /93\.184/);
      const names = [
        'example.com',
        'www.example.org',
        'rebinding.example.org',
        'inside.example.org',
        'other.example.org',
      ];
      const hidden = ['example.org', 'secret.evil.net', 'one', 'localhost', '34.216.184.93.in-addr.arpa'];
      const answers = await tries(
        'one',
        [...names, ...hidden].map((each) => `name ${each}`),
      );
      t.deepEqual(answers, [
        '0 93.184.216.34 60',
        '0 93.184.216.35 60',
        '0 - 0',
        `0 - ${answers[3]!.split(' ')[2]}`,
        '0 - 0',
        ...Array<string>(5).fill('3 - 0'),
      ]);
      t.deepEqual(asked, names);
      // by the rule that the name is of, and with nothing more
      const kernel = rules('bridge');
      const sets = (text: string) =>
        (kernel.match(/set v\S+-names-ip \{[^}]*elements = \{[^}]*\}/g) ?? []).filter((set) => set.includes(text));
      t.is(sets('93.184.216.34').length, 1);
      t.is(sets('93.184.216.35').length, 1);
      t.notRegex(kernel, /93\.184\.216\.9[89]|192\.168\.7\.7|elements = \{[^}]*10\.0\.0\.1\b/);
      const told = log('one');
      t.true(told.includes('one dns secret.evil.net 0 no rule names it'), told.join('\n'));
      t.true(told.includes('one dns rebinding.example.org 0 its address 10.0.0.1 is not public, and no rule names it'));
      t.true(told.includes('one dns inside.example.org 0 its address 192.168.7.7 is not public, and no rule names it'));
      says('rm', '-f', 'one');
    },
  );

  const hasWayOut = person.name === 'root' && findProgram('pasta', '/usr/bin') && existsSync('/dev/net/tun');
  const refused = of('whoever knows an address without its name is refused at once, and it is told');
  (hasWayOut ? test.serial : test.serial.skip)(hasWayOut ? refused : `${refused}: ${NO_WAY_OUT}`, async (t) => {
    const { says, run, tries, log, addressOn } = commandsOf(t, person);
    run('two', '--egress=example.com:443');
    const gateway = addressOn('bridge', 'two').replace(/\d+$/, '1');
    const found = await tries('two', [
      'tcp 93.184.216.34 443',
      'tcp 1.1.1.1 853',
      'dns 8.8.8.8 example.com',
      'udp 93.184.216.34 443',
      'tcp 169.254.169.254 80',
      `tcp ${gateway} 22`,
    ]);
    t.deepEqual(found, [
      ...Array<string>(2).fill(ECONNREFUSED),
      ...Array<string>(2).fill(EHOSTUNREACH),
      ECONNREFUSED,
      ECONNREFUSED,
    ]);
    t.true(
      await until(() => {
        const told = log('two');
        return [
          'two tcp 93.184.216.34 443 no rule allows it',
          'two tcp 1.1.1.1 853 no rule allows it',
          'two udp 8.8.8.8 53 no rule allows it',
          'two tcp 169.254.169.254 80 no rule allows it',
          `two tcp ${gateway} 22 no rule allows it`,
        ].every((line) => told.includes(line));
      }),
    );
    t.regex(
      says('network', 'log', 'bridge'),
      /^\S+ two bridge tcp 93\.184\.216\.34:443 \(no rule allows it; none of: example\.com:443\)$/m,
    );
    t.is(says('network', 'log', '--since=2030-01-01', 'two'), '');
    t.is(JSON.parse(says('network', 'log', '--format=json', 'two').split('\n')[0]!).Container, 'two');
    says('rm', '-f', 'two');
    t.is(says('network', 'log'), '');
  });

  judged(of('neighbours by name, as they come and go; nobody else'), async (t) => {
    const { says, run, tries, serve, addressOn, rules } = commandsOf(t, person);
    says('network', 'create', 'lan');
    run('app', '--network=lan', '--egress=db:80/tcp');
    run('other', '--network=lan');
    await serve('other');
    t.deepEqual(await tries('app', ['name db', 'name other']), ['3 - 0', '3 - 0']);
    run('db', '--network=lan');
    await serve('db');
    const [db, other] = [addressOn('lan', 'db'), addressOn('lan', 'other')];
    // let through before its name is asked for
    t.true(await until(() => new RegExp(`near-ip[^}]*elements = \\{ ${db} \\}`).test(rules('lan'))));
    t.deepEqual(await tries('app', [`tcp ${db} 80`, 'name db', 'name db.lan', 'name other']), [
      'open',
      `0 ${db} 600`,
      `0 ${db} 600`,
      '3 - 0',
    ]);
    t.deepEqual(await tries('app', [`tcp ${db} 81`, `tcp ${other} 80`], 1), ['TimeoutError', 'TimeoutError']);
    await serve('app');
    t.deepEqual(await tries('other', [`tcp ${addressOn('lan', 'app')} 80`]), ['open']);
    says('rm', '-f', 'db');
    t.true(await until(() => !rules('lan').includes(`elements = { ${db} }`)));
    // whoever has its address next is not who the rule means
    run('evil', '--network=lan', `--ip=${db}`, '--rm');
    await serve('evil');
    t.deepEqual(await tries('app', [`tcp ${db} 80`], 1), ['TimeoutError']);
    says('rm', '-f', 'evil');
  });

  judged(of('rules come along to a network that is joined later'), async (t) => {
    const { says, run, tries, serve, addressOn, rules } = commandsOf(t, person);
    says('network', 'create', 'late');
    run('there', '--network=late');
    await serve('there');
    says('network', 'connect', 'late', 'app');
    const there = addressOn('late', 'there');
    t.deepEqual(await tries('app', [`tcp ${there} 80`], 1), ['TimeoutError']);
    t.true(ownRules(rules('late')).length > 0);
    says('network', 'disconnect', 'late', 'app');
    t.deepEqual(ownRules(rules('late')), []);
    says('rm', '-f', 'there');
  });

  judged(of("of one that was killed nothing stays in its next neighbour's way"), async (t) => {
    const { says, run, tries, serve, addressOn, rules } = commandsOf(t, person);
    await serve('other');
    const [app, other] = [addressOn('lan', 'app'), addressOn('lan', 'other')];
    t.deepEqual(await tries('app', [`tcp ${other} 80`], 1), ['TimeoutError']);
    process.kill(supervisorOf(Number(says('inspect', '-f', '{{.State.Pid}}', 'app'))), 'SIGKILL');
    t.true(await until(() => says('inspect', '-f', '{{.State.Status}}', 'app') === 'exited'));
    run('next', '--network=lan');
    t.is(addressOn('lan', 'next'), app);
    t.deepEqual(await tries('next', [`tcp ${other} 80`]), ['open']);
    t.deepEqual(ownRules(rules('lan')), []);
    says('start', 'app');
    t.deepEqual(await tries('app', [`tcp ${other} 80`], 1), ['TimeoutError']);
    says('stop', '-t0', 'app');
    t.true(await until(() => ownRules(rules('lan')).length === 0));
    says('rm', '-f', 'app', 'next', 'other');
    says('network', 'rm', 'lan', 'late');
  });
}
