/** Sockets of published ports: which are made, that they are kept, and Docker's words for those that cannot be. */
import { readFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { once } from 'node:events';
import test from 'ava';
import { bindPorts, parsePortRange, type BindOptions, type PortMapping } from '../../../src/network/ports/bind.ts';
import { ordinaryUser, ROOT } from '../../fixtures/user.ts';

const WHERE = 'failed to set up container networking: driver failed programming external connectivity';
const mapping = (more: Partial<PortMapping> = {}): PortMapping => ({
  protocol: 'tcp',
  containerPort: 80,
  hostAddress: '127.0.0.1',
  ...more,
});

/** A port of loopback that somebody else has. */
async function occupied(): Promise<{ port: number; close: () => void }> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  return { port: (server.address() as { port: number }).port, close: () => server.close() };
}

/** lines of /proc/net for sockets of a port: `tcp 0100007F:1F90 0A` (address and port, state) */
function sockets(port: number): string[] {
  const hex = port.toString(16).toUpperCase().padStart(4, '0');
  return ['tcp', 'tcp6', 'udp', 'udp6'].flatMap((table) =>
    readFileSync(`/proc/net/${table}`, 'latin1')
      .split('\n')
      .map((line) => line.trim().split(/\s+/))
      .filter(([, local, remote]) => local?.endsWith(`:${hex}`) && remote!.endsWith(':0000'))
      .map(([, local, , state]) => `${table} ${local!.split(':')[0]} ${state}`),
  );
}

const LISTEN = '0A';
const BOUND = '07';

test('every address: IPv4 and IPv6 apart, one number for both, kept until they are closed', (t) => {
  const bound = bindPorts([mapping({ hostAddress: '' })]);
  const [four, six] = bound.assigned;
  t.deepEqual(
    bound.assigned.map(({ hostAddress }) => hostAddress),
    ['0.0.0.0', '::'],
  );
  t.is(four!.hostPort, six!.hostPort);
  t.deepEqual(sockets(four!.hostPort), [`tcp 00000000 ${LISTEN}`, `tcp6 ${'0'.repeat(32)} ${LISTEN}`]);
  bound[Symbol.dispose]();
  t.deepEqual(sockets(four!.hostPort), []);
});

test('udp is bound, and in the range of this host', (t) => {
  using bound = bindPorts([mapping({ protocol: 'udp', containerPort: 53, hostAddress: '' })]);
  const { hostPort } = bound.assigned[0]!;
  t.deepEqual(sockets(hostPort), [`udp 00000000 ${BOUND}`, `udp6 ${'0'.repeat(32)} ${BOUND}`]);
  const range = parsePortRange(readFileSync('/proc/sys/net/ipv4/ip_local_port_range', 'latin1'));
  t.true(hostPort >= range.first && hostPort <= range.last);
});

test('one address, a number given', async (t) => {
  const { port, close } = await occupied();
  close();
  using bound = bindPorts([mapping({ hostPorts: { first: port, last: port } })]);
  t.deepEqual(bound.assigned, [{ protocol: 'tcp', containerPort: 80, hostAddress: '127.0.0.1', hostPort: port }]);
  t.is(bound.sockets.length, 1);
});

test('a range: the first free one', async (t) => {
  const { port, close } = await occupied();
  t.teardown(close);
  using bound = bindPorts([mapping({ hostPorts: { first: port, last: port + 20 } })]);
  t.true(bound.assigned[0]!.hostPort > port);
});

test("any port: what one address has is passed over for all the mapping's", async (t) => {
  const { port, close } = await occupied();
  t.teardown(close);
  // wildcards meet whoever has the port on one address
  using bound = bindPorts([mapping({ hostAddress: '' })], { range: { first: port, last: port + 20 } });
  t.true(bound.assigned.every(({ hostPort }) => hostPort > port));
  t.is(new Set(bound.assigned.map(({ hostPort }) => hostPort)).size, 1);
});

test('the port of another program: an error, and nothing of the others is left', async (t) => {
  const { port, close } = await occupied();
  t.teardown(close);
  const free = await occupied();
  free.close();
  const error = t.throws(
    () =>
      bindPorts(
        [
          mapping({ hostPorts: { first: free.port, last: free.port } }),
          mapping({ hostPorts: { first: port, last: port } }),
        ],
        { endpoint: 'web (0123456789ab)' },
      ),
    {
      name: 'HuskError',
      message: `${WHERE} on endpoint web (0123456789ab): failed to bind host port 127.0.0.1:${port}/tcp: address already in use`,
    },
  );
  t.is((error as { exitCode?: number }).exitCode, 125);
  t.deepEqual(sockets(free.port), []);
});

const REFUSED: [what: string, given: PortMapping, options: BindOptions, reason: string][] = [
  [
    'what another container has',
    mapping({ hostAddress: '', hostPorts: { first: 8080, last: 8080 } }),
    { isAllocated: ({ hostAddress, hostPort }) => hostAddress === '0.0.0.0' && hostPort === 8080 },
    'Bind for 0.0.0.0:8080 failed: port is already allocated',
  ],
  [
    'what another container has of IPv6',
    mapping({ hostAddress: '::1', hostPorts: { first: 8080, last: 8081 } }),
    { isAllocated: () => true },
    'Bind for [::1]:8080 failed: port is already allocated',
  ],
  [
    "an address that is not this host's",
    mapping({ hostAddress: '192.0.2.1', hostPorts: { first: 8080, last: 9090 } }),
    {},
    'failed to bind host port 192.0.2.1:8080/tcp: cannot assign requested address',
  ],
];
for (const [what, given, options, reason] of REFUSED)
  test(`refused: ${what}`, (t) => {
    t.throws(() => bindPorts([given], options), { message: `${WHERE}: ${reason}` });
  });

test('refused: a port that is not for an ordinary user, with the fix', (t) => {
  using user = ordinaryUser();
  const code = `const { bindPorts } = await import(${JSON.stringify(`${ROOT}/src/network/ports/bind.ts`)});
    try { bindPorts([{ protocol: 'tcp', containerPort: 80, hostAddress: '127.0.0.1', hostPorts: { first: 80, last: 80 } }]); }
    catch (error) { console.log(error.message + ' | ' + error.fix); }`;
  // in a network namespace of its own, where the sysctl is the kernel's, and without the capability
  const node = [process.execPath, '--disable-warning=ExperimentalWarning', '--input-type=module', '-e', code];
  const { stdout, stderr } = user.run([
    'unshare',
    '--user',
    '--net',
    '--map-current-user',
    'setpriv',
    '--inh-caps=-all',
    '--ambient-caps=-all',
    ...node,
  ]);
  t.is(stderr, '');
  t.is(
    stdout,
    `${WHERE}: failed to bind host port 127.0.0.1:80/tcp: permission denied | sysctl net.ipv4.ip_unprivileged_port_start=80\n`,
  );
});

for (const [text, range] of [
  ['32768\t60999\n', [32_768, 60_999]],
  ['1024 65535', [1024, 65_535]],
  ['', [32_768, 60_999]],
  ['60999\t32768\n', [32_768, 60_999]],
  ['0\t70000\n', [32_768, 60_999]],
] as const)
  test(`ip_local_port_range ${JSON.stringify(text)}`, (t) => {
    const { first, last } = parsePortRange(text);
    t.deepEqual([first, last], [...range]);
  });
