/**
 * Containers' networks as a person meets them, under both isolations, with servers of ours at addresses
 * that stand for the world (test/vm-host/README.md). One virtual machine for all of it: a boot in the test host takes
 * 10 s.
 */
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdirSync, readdirSync, readFileSync } from 'node:fs';
import { connect } from 'node:net';
import { basename } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import test from 'ava';
import { Home } from './home.ts';
import { missingParts, notByItself, onKvmHost, root } from './kvm-host.ts';
import { BULK, RESOLVER, World, WORLD } from './world.ts';

/** ms; a boot in the test host takes 10 s, and on a busy machine two minutes were seen */
const TIMEOUT = 300_000;
/** ms: for what hangs; a machine's boot in the test host took 90 s beside other tests on two CPUs */
const PATIENCE = 240_000;

/** the test host's own address on the interface of its default route, and that route's gateway */
const HOST = '192.0.2.2';
const HOST6 = '2001:db8::2';
const GATEWAY = '192.0.2.1';
/** of the default network: what a container is given, and what it never reaches */
const BRIDGE = '172.17.0.1';
const ADDRESS = { userns: '172.17.0.2', vm: '172.17.0.3' };
const NEVER = ['127.0.0.1', BRIDGE, GATEWAY];
/**
 * nc with a stdin that never ends: it goes when the server has closed, however long that takes. pasta of 2023, on a
 * machine as slow as the test host, sends a client that closes its side first the same bytes over and over; one that
 * kept it open for some seconds had more bytes than time on a busy machine. Bounded, so that what hangs is told by name
 */
const NC = '[ -p /open ] || mkfifo /open; timeout 120 nc';
const OPEN = '<>/open';
/** sends frames that it builds itself */
const FRAMES = `${root}build/test-vmm/frames`;
/** sends datagrams, and sends them back */
const DATAGRAMS = `${root}build/test-vmm/datagrams`;
/** bytes: with its headers the longest that is one frame */
const LONGEST = 65_520 - 28;
/** of the mixed table; who reaches whom */
const NEIGHBOURS = [
  ['machine', 'vm'],
  ['other', 'vm'],
  ['namespaces', 'userns'],
] as const;
const PAIRS = [
  ['machine', 'other'],
  ['other', 'machine'],
  ['machine', 'namespaces'],
  ['namespaces', 'machine'],
] as const;
const missing = missingParts() ?? notByItself();
if (missing !== undefined) test.skip(missing, () => {});
else {
  if (process.env['VMHOST'] !== '1') {
    mkdirSync(`${root}build/test-vmm`, { recursive: true });
    for (const program of [FRAMES, DATAGRAMS]) {
      const source = `${root}test/vmm/guest/${basename(program)}.c`;
      execFileSync('gcc', ['-static', '-O2', '-Wall', '-Wextra', '-Werror', '-o', program, source]);
    }
  }
  await onKvmHost(import.meta.url, register, { inTestHost: true });
}

function register(): void {
  const home = new Home();
  const husk = (...args: string[]) => home.feed('', ...args);
  const world = new World();

  test.before('servers', async (t) => {
    t.timeout(TIMEOUT);
    await world.open();
  });
  test.after.always('nothing is left', async (t) => {
    t.timeout(TIMEOUT);
    world.close();
    t.deepEqual(await home.end(), []);
    await until(() => processes(/^pasta\0/).length === 0);
    t.deepEqual(processes(/^pasta\0/), []);
  });

  const NAMES = ['-h', 'inside', '--add-host', 'extra:203.0.113.5'];
  const PORTS = { userns: [], vm: ['-p', '8080:80'] };
  const LONG = ['-d', '--restart', 'on-failure:1', ...NAMES, '-v', `${FRAMES}:/frames:ro`];
  const COMMAND = ['husk/base', 'sh', '-c', 'while ! [ -e /end ]; do sleep 0.2; done; rm /end; exit 3'];
  for (const isolation of ['userns', 'vm'] as const) {
    const address = ADDRESS[isolation];
    const inside = async (script: string) => {
      const { status, stdout, stderr } = await husk('exec', isolation, 'sh', '-c', script);
      return { status, said: (stdout + stderr).replace(/ +/g, ' ').trim() };
    };
    const says = async (t: import('ava').ExecutionContext, script: string, expected: string | RegExp) => {
      const { said } = await inside(script);
      if (typeof expected === 'string') t.is(said, expected, script);
      else t.regex(said, expected, script);
    };

    test.serial(`${isolation}: an interface with addresses, its names and resolver`, async (t) => {
      t.timeout(TIMEOUT);
      const { status, stderr } = await husk(
        'run',
        `--isolation=${isolation}`,
        '--name',
        isolation,
        ...LONG,
        ...PORTS[isolation],
        ...COMMAND,
      );
      t.is(status, 0, stderr);
      t.is(stderr, '');
      await says(t, 'ls /sys/class/net', 'eth0\nlo');
      await says(
        t,
        'ip -o -4 addr show scope global',
        new RegExp(`^\\d+: eth0 inet ${address}/16 .*scope global eth0`),
      );
      await says(t, 'ip route show default', new RegExp(`^default via ${BRIDGE} dev eth0`));
      await says(t, 'ip -o link show eth0 | grep -o "mtu [0-9]*"', 'mtu 65520');
      await says(t, 'cat /etc/resolv.conf', `nameserver ${RESOLVER}`);
      await says(
        t,
        'grep extra /etc/hosts; hostname; ping -c 1 -w 5 127.0.0.1 >/dev/null && echo lo',
        '203.0.113.5\textra\ninside\nlo',
      );
    });

    test.serial(`${isolation}: names, TCP and UDP`, async (t) => {
      t.timeout(TIMEOUT);
      await says(t, 'nslookup -type=a name.test | grep -A1 ^Name', `Name:\tname.test\nAddress: ${WORLD}`);
      await says(t, `${NC} name.test ${world.port('greeting')} ${OPEN}`, 'hello');
      await says(t, `{ ${NC} ${WORLD} ${world.port('bulk')} ${OPEN}; } | sha256sum`, `${world.bulkHash} -`);
      await says(t, `head -c ${BULK} /dev/zero | timeout 120 nc ${WORLD} ${world.port('sink')}; echo $?`, '0');
      t.true(await until(() => world.sunk.at(-1) === createHash('sha256').update(Buffer.alloc(BULK)).digest('hex')));
    });

    test.serial(`${isolation}: neither the host's loopback nor what it never reaches`, async (t) => {
      t.timeout(TIMEOUT);
      const places = NEVER.flatMap((at) =>
        [world.port('loopback'), world.port('everywhere')].map((port) => `${at} ${port}`),
      );
      await says(
        t,
        `for at in ${places.map((place) => `'${place}'`).join(' ')}; do nc -w 2 $at </dev/null 2>/dev/null; done; echo end`,
        'end',
      );
    });

    // the frames of a container in user namespaces are test/network/endpoint.test.ts's
    if (isolation === 'userns') continue;
    test.serial(
      "vm: frames built by hand reach the world, and neither the host's loopback nor what is never to be reached",
      async (t) => {
        t.timeout(TIMEOUT);
        const tcp = (at: string, name: string) => `tcp/${at}/${world.port(name)}`;
        const both = (at: string, version = '') => [
          tcp(at, `everywhere${version}`),
          `udp/${at}/${world.port(`udp everywhere${version}`)}`,
        ];
        const forbidden = [
          ...['127.0.0.1', '127.1.2.3', '0.0.0.0', BRIDGE, GATEWAY].flatMap((at) => both(at)),
          ...['::1', '::', HOST6].flatMap((at) => both(at, '6')),
          ...['::ffff:127.0.0.1', `::ffff:${HOST}`, '::127.0.0.1'].flatMap((at) => both(at)),
          tcp('127.0.0.1', 'loopback'),
          tcp('::1', 'loopback6'),
        ];
        const reachable = [tcp(WORLD, 'greeting'), `udp/${WORLD}/${world.port('udp')}`];
        const script = `/frames eth0 ${address} fd00::3 ${reachable.join(' ')} -- ${forbidden.join(' ')}`;
        // the gateway says that it has nothing there, and what listens on the host's hears nothing
        const refuses = `${tcp(BRIDGE, 'everywhere')} refuses`;
        await says(t, script, [...reachable.map((at) => `${at} answers`), refuses].join('\n'));
      },
    );
  }

  test.serial('vm: the network is there again after a restart, in the same supervisor', async (t) => {
    t.timeout(TIMEOUT);
    t.is((await husk('exec', 'vm', 'touch', '/end')).status, 0);
    t.true(
      await until(
        async () => (await husk('inspect', '-f', '{{.RestartCount}} {{.State.Status}}', 'vm')).stdout === '1 running\n',
      ),
    );
    const { stdout, stderr } = await husk(
      'exec',
      'vm',
      'sh',
      '-c',
      `${NC} name.test ${world.port('greeting')} ${OPEN}`,
    );
    t.is(stdout, 'hello', stderr);
  });

  for (const [from, to] of [
    ['userns', 'vm'],
    ['vm', 'userns'],
  ] as const)
    test.serial(`${from} and ${to} are neighbours: ping, the longest frame, TCP and UDP`, async (t) => {
      t.timeout(TIMEOUT);
      const sh = (where: string, script: string) => husk('exec', where, 'sh', '-c', script);
      const ping = await sh(from, `ping -c 1 -w 60 ${ADDRESS[to]} && ping -c 1 -w 60 -s 65000 ${ADDRESS[to]}`);
      t.is(ping.status, 0, ping.stdout + ping.stderr);
      // by a program of its own, which does not care whether the client has said its last word already
      const server = sh(to, 'nc -l -p 7 -e echo served');
      let reached = '';
      await until(async () => (reached = (await sh(from, `nc -w 20 ${ADDRESS[to]} 7 </dev/null`)).stdout) !== '');
      t.is(reached, 'served\n');
      await server;
    });

  test.serial('vm: a published port is reached, by the address that the client has', async (t) => {
    t.timeout(TIMEOUT);
    t.is((await husk('port', 'vm', '80')).stdout.split('\n')[0], '0.0.0.0:8080');
    // the remote address of /proc/net/tcp: four bytes, the last one first; of a socket of IPv6 behind a prefix
    const tables = ['/proc/net/tcp', '/proc/net/tcp6'];
    const seen = husk('exec', 'vm', 'nc', '-l', '-p', '80', '-e', 'grep', ':0050 ', ...tables);
    const remote = Buffer.from(HOST.split('.').map(Number).toReversed()).toString('hex');
    let text = '';
    await until(async () => (text = await said(8080, HOST)) !== '');
    t.regex(text, new RegExp(`:0050 (0{16}ffff0000)?${remote}:`, 'i'));
    await seen;
  });

  test.serial('vm: on a network with users of both kinds, its names and its picture are as theirs', async (t) => {
    t.timeout(TIMEOUT);
    const { stdout } = await husk(
      'network',
      'inspect',
      '-f',
      '{{range .Containers}}{{.Name}} {{.IPv4Address}}\n{{end}}',
      'bridge',
    );
    t.deepEqual(stdout.split('\n').filter(Boolean).sort(), ['userns 172.17.0.2/16', 'vm 172.17.0.3/16']);
  });

  test.serial('vm: what it is on cannot change while it runs', async (t) => {
    t.timeout(TIMEOUT);
    await husk('network', 'create', 'other');
    const { status, stderr } = await husk('network', 'connect', 'other', 'vm');
    t.is(status, 1);
    t.regex(stderr, /it runs in a virtual machine, whose interfaces are those of its start\nFix: stop it, /);
  });

  for (const how of ['host', 'container:userns'])
    test.serial(`vm: --network ${how} is refused in one line`, async (t) => {
      const { status, stderr } = await husk('run', '--isolation=vm', '--network', how, 'husk/base', 'true');
      t.is(status, 125);
      t.regex(
        stderr,
        new RegExp(
          `^Error: --network ${how} is not possible with --isolation=vm: a virtual machine shares no namespace .*\\nFix: use --isolation=userns\\n`,
        ),
      );
    });

  test.serial("a container in user namespaces cannot join a VM's network", async (t) => {
    const { status, stderr } = await husk(
      'run',
      '--rm',
      '--isolation=userns',
      '--network',
      'container:vm',
      'husk/base',
      'true',
    );
    t.is(status, 125);
    t.regex(stderr, /cannot join the network namespace of container vm: it runs in a virtual machine/);
  });

  test.serial('vm: the supervisor killed: its address and ports are free at once', async (t) => {
    t.timeout(TIMEOUT);
    process.kill(Number((await husk('inspect', '-f', '{{.State.Pid}}', 'vm')).stdout), 'SIGKILL');
    t.true(
      await until(
        async () => (await husk('network', 'inspect', '-f', '{{len .Containers}}', 'bridge')).stdout === '1\n',
      ),
    );
    t.true(await until(() => processes(/^\S*husk-net\0forward\0/).length === 0));
  });

  // when the machine before them is gone: two at once are enough for the test host. HUSK_TEST_MATCH='mixed:*' has these
  // alone
  test.serial('mixed: two machines and one in user namespaces start at once, on a network of their own', async (t) => {
    t.timeout(TIMEOUT);
    t.is((await husk('network', 'create', 'mixed')).status, 0);
    const serve = '/datagrams serve 9 & exec nc -ll -p 7 -e echo served';
    const started = ([name, isolation]: (typeof NEIGHBOURS)[number]) => {
      const place = [
        `--isolation=${isolation}`,
        '--name',
        name,
        '--network',
        'mixed',
        '-v',
        `${DATAGRAMS}:/datagrams:ro`,
      ];
      return husk('run', '-d', ...place, 'husk/base', 'sh', '-c', serve);
    };
    for (const { status, stderr } of await Promise.all(NEIGHBOURS.map(started))) t.deepEqual([status, stderr], [0, '']);
  });

  for (const [from, to] of PAIRS)
    test.serial(`mixed: ${from} reaches ${to} by its name: ping, the longest frame, TCP and UDP`, async (t) => {
      t.timeout(TIMEOUT);
      const script = `
        for size in 56 ${LONGEST}; do ping -c 1 -w 60 -s $size ${to} | grep -o '[01] packets received'; done
        for try in $(seq 60); do nc -w 20 ${to} 7 </dev/null && break; sleep 1; done
        at=$(nslookup -type=a ${to} | grep -A1 ^Name | sed -n 's/^Address: //p')
        for size in 1 ${LONGEST}; do /datagrams ask $at 9 $size; done`;
      const { stdout, stderr } = await husk('exec', from, 'sh', '-c', script);
      t.is(stdout, '1 packets received\n1 packets received\nserved\nsame\nsame\n', stderr);
    });

  test.serial('mixed: nothing is left of the three', async (t) => {
    t.timeout(TIMEOUT);
    t.is((await husk('rm', '-f', ...NEIGHBOURS.map(([name]) => name))).status, 0);
    t.is((await husk('network', 'rm', 'mixed')).status, 0);
  });
}

/** What a server says to a client of this process's. */
function said(port: number, host: string): Promise<string> {
  return new Promise((done) => {
    let text = '';
    const socket = connect({ port, host, localAddress: host });
    socket.setEncoding('latin1').on('data', (more) => (text += more));
    socket.on('error', () => {}).on('close', () => done(text));
  });
}

async function until(done: () => boolean | Promise<boolean>): Promise<boolean> {
  for (const end = performance.now() + PATIENCE; performance.now() < end; await sleep(100))
    if (await done()) return true;
  return done();
}

function processes(command: RegExp): string[] {
  return readdirSync('/proc').filter((pid) => {
    try {
      return /^\d+$/.test(pid) && command.test(readFileSync(`/proc/${pid}/cmdline`, 'latin1'));
    } catch {
      return false;
    }
  });
}
