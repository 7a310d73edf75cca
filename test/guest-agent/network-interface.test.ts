/**
 * The agent's network set-up, in namespaces made for the test: the outer one stands for the guest's, the inner one for
 * the container's.
 */
import { spawnSync } from 'node:child_process';
import test from 'ava';
import type { InterfaceSetup } from '../../src/agent-protocol.ts';
import { addressBytes } from '../../src/host/streams/address-bytes.ts';

const AGENT = new URL('../../src/guest-agent/network-interface.ts', import.meta.url).href;
/** of the guest's eth0 and eth1 */
const MAC = '02:42:c0:00:02:0f';
const OTHER = '02:42:0a:06:00:02';
const able =
  spawnSync('unshare', ['-n', 'ip', 'link', 'add', 'eth0', 'type', 'veth', 'peer', 'name', 'peer0']).status === 0;
const real = able ? test : test.skip;
const title = able ? '' : ' (needs root, ip(8) and unshare(1) to make network namespaces)';

/** @returns `ip` as the container sees it, or the error */
function give(...setups: InterfaceSetup[]): string {
  const program = `
    import { spawn, execFileSync } from 'node:child_process';
    const { giveInterfaces } = await import(${JSON.stringify(AGENT)});
    const container = spawn('unshare', ['-n', 'sh', '-c', 'ip link set lo up; echo up; exec sleep 100'], { stdio: ['ignore', 'pipe', 'inherit'] });
    await new Promise((up) => container.stdout.once('data', up));
    try {
      giveInterfaces(container.pid, ${JSON.stringify(setups)});
      const ip = (...args) => execFileSync('nsenter', ['-t', String(container.pid), '-n', 'ip', '-o', ...args], { encoding: 'utf8' }).replace(/ +/g, ' ');
      for (const { name, mac } of ${JSON.stringify(setups)}) {
        if (!ip('link', 'show', 'dev', name).includes(mac)) console.log(name, 'is another device');
        console.log(ip('addr', 'show', 'dev', name, 'scope', 'global').replace(/^\\d+: /gm, '').replace(/\\\\.*$/gm, ''));
      }
      console.log(ip('route', 'show', 'default'), ip('-6', 'route', 'show', 'default'));
      console.log('left', execFileSync('ip', ['-o', 'link'], { encoding: 'utf8' }).split('\\n').filter((line) => /: eth\\d/.test(line)).length);
    } catch (error) {
      console.log(error.message);
    }
    container.kill('SIGKILL');`;
  const { stdout, stderr } = spawnSync(
    'unshare',
    [
      '-n',
      'sh',
      '-c',
      `ip link add eth0 address ${MAC} type veth peer name peer0; ip link set peer0 up; ip link add eth1 address ${OTHER} type veth peer name peer1; ip link set peer1 up; exec "$0" --input-type=module -e "$1"`,
      process.execPath,
      program,
    ],
    { encoding: 'utf8' },
  );
  return (stdout + stderr).replace(/\s*\n\s*/g, '\n');
}

real(
  `addresses, routes and the interface itself are the container's, and it is gone from the guest's namespace${title}`,
  (t) => {
    const found = give({
      name: 'eth0',
      mac: MAC,
      mtu: 1500,
      addresses: [
        { address: '192.0.2.15', prefix: 24 },
        { address: '2001:db8::15', prefix: 64 },
      ],
      defaultRoutes: [
        { family: 4, gateway: '192.0.2.1' },
        { family: 6, gateway: 'fe80::1' },
      ],
    });
    t.is(
      found,
      'eth0 inet 192.0.2.15/24 brd 192.0.2.255 scope global eth0\neth0 inet6 2001:db8::15/64 scope global nodad\ndefault via 192.0.2.1 dev eth0\ndefault via fe80::1 dev eth0 metric 1024 pref medium\nleft 1\n',
    );
  },
);

real(`a gateway outside of the network, and none at all${title}`, (t) => {
  t.regex(
    give({
      name: 'eth0',
      mac: MAC,
      mtu: 1500,
      addresses: [{ address: '198.51.100.7', prefix: 32 }],
      defaultRoutes: [{ family: 4, gateway: '192.0.2.1' }],
    }),
    /^default via 192\.0\.2\.1 dev eth0 onlink$/m,
  );
  t.regex(
    give({
      name: 'eth0',
      mac: MAC,
      mtu: 1500,
      addresses: [{ address: '10.6.0.2', prefix: 31 }],
      defaultRoutes: [{ family: 4 }],
    }),
    /^eth0 inet 10\.6\.0\.2\/31 scope global eth0\ndefault dev eth0 scope link$/m,
  );
});

real(`two devices, told apart by their addresses, whatever the guest calls them${title}`, (t) => {
  const found = give(
    {
      name: 'eth0',
      mac: OTHER,
      mtu: 1500,
      addresses: [{ address: '10.6.0.2', prefix: 24 }],
      defaultRoutes: [{ family: 4, gateway: '10.6.0.1' }],
    },
    { name: 'eth1', mac: MAC, mtu: 1500, addresses: [{ address: '192.0.2.15', prefix: 24 }], defaultRoutes: [] },
  );
  t.is(
    found,
    'eth0 inet 10.6.0.2/24 brd 10.6.0.255 scope global eth0\neth1 inet 192.0.2.15/24 brd 192.0.2.255 scope global eth1\ndefault via 10.6.0.1 dev eth0\nleft 0\n',
  );
});

real(`what fails is named${title}`, (t) => {
  t.is(
    give({ name: 'eth7', mac: '02:42:00:00:00:07', mtu: 1500, addresses: [], defaultRoutes: [] }),
    'cannot set up eth7 of the container: the guest kernel found no network device 02:42:00:00:00:07\n',
  );
  t.is(
    give({ name: 'eth0', mac: MAC, mtu: 1500, addresses: [{ address: '10.0.0.1', prefix: 99 }], defaultRoutes: [] }),
    'cannot set up eth0 of the container: invalid argument\n',
  );
});

for (const text of ['', '1.2.3', '1.2.3.4/24', ':::', 'eth0', '1.2.3.4.5', '::ffff:1.2.3.400'])
  test(`"${text}" is no address`, (t) => {
    t.throws(() => addressBytes(text), { message: `"${text}" is no IP address` });
  });

test('addresses are bytes', (t) => {
  t.deepEqual([...addressBytes('192.0.2.1')], [192, 0, 2, 1]);
  t.is(Buffer.from(addressBytes('2001:db8::1')).toString('hex'), '20010db8000000000000000000000001');
});
