/**
 * The agent's network set-up, in namespaces made for the test: the outer one stands for the guest's, the inner one for
 * the container's.
 */
import { spawnSync } from 'node:child_process';
import test from 'ava';
import type { InterfaceSetup } from '../../src/agent-protocol.ts';
import { addressBytes } from '../../src/host/streams/netlink.ts';

const AGENT = new URL('../../src/guest-agent/network-interface.ts', import.meta.url).href;
const able =
  spawnSync('unshare', ['-n', 'ip', 'link', 'add', 'eth0', 'type', 'veth', 'peer', 'name', 'peer0']).status === 0;
const real = able ? test : test.skip;
const title = able ? '' : ' (needs root, ip(8) and unshare(1) to make network namespaces)';

/** @returns `ip` as the container sees it, or the error */
function give(setup: InterfaceSetup): string {
  const program = `
    import { spawn, execFileSync } from 'node:child_process';
    const { giveInterface } = await import(${JSON.stringify(AGENT)});
    const container = spawn('unshare', ['-n', 'sh', '-c', 'ip link set lo up; echo up; exec sleep 100'], { stdio: ['ignore', 'pipe', 'inherit'] });
    await new Promise((up) => container.stdout.once('data', up));
    try {
      giveInterface(container.pid, ${JSON.stringify(setup)});
      const ip = (...args) => execFileSync('nsenter', ['-t', String(container.pid), '-n', 'ip', '-o', ...args], { encoding: 'utf8' }).replace(/ +/g, ' ');
      console.log(ip('addr', 'show', 'dev', 'eth0', 'scope', 'global').replace(/^\\d+: /gm, '').replace(/\\\\.*$/gm, ''), ip('route', 'show', 'default'), ip('-6', 'route', 'show', 'default'));
      console.log('left', execFileSync('ip', ['-o', 'link'], { encoding: 'utf8' }).split('\\n').filter((line) => line.includes(': eth0')).length);
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
      `ip link add eth0 type veth peer name peer0; ip link set peer0 up; exec "$0" --input-type=module -e "$1"`,
      process.execPath,
      program,
    ],
    { encoding: 'utf8' },
  );
  return (stdout + stderr).replace(/\s*\n\s*/g, '\n');
}

real(
  `addresses, routes and the interface itself are the container's, and gone from the guest's namespace${title}`,
  (t) => {
    const found = give({
      name: 'eth0',
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
      'eth0 inet 192.0.2.15/24 brd 192.0.2.255 scope global eth0\neth0 inet6 2001:db8::15/64 scope global nodad\ndefault via 192.0.2.1 dev eth0\ndefault via fe80::1 dev eth0 metric 1024 pref medium\nleft 0\n',
    );
  },
);

real(`a gateway outside of the network, and none at all${title}`, (t) => {
  t.regex(
    give({
      name: 'eth0',
      addresses: [{ address: '198.51.100.7', prefix: 32 }],
      defaultRoutes: [{ family: 4, gateway: '192.0.2.1' }],
    }),
    /^default via 192\.0\.2\.1 dev eth0 onlink$/m,
  );
  t.regex(
    give({ name: 'eth0', addresses: [{ address: '10.6.0.2', prefix: 31 }], defaultRoutes: [{ family: 4 }] }),
    /^eth0 inet 10\.6\.0\.2\/31 scope global eth0\ndefault dev eth0 scope link$/m,
  );
});

real(`what fails is named${title}`, (t) => {
  t.is(
    give({ name: 'eth7', addresses: [], defaultRoutes: [] }),
    'cannot set up eth7 of the container: the guest kernel found no network device\n',
  );
  t.is(
    give({ name: 'eth0', addresses: [{ address: '10.0.0.1', prefix: 99 }], defaultRoutes: [] }),
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
