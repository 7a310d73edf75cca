/** The way out of a VM: what passt is told, that it speaks, and that it goes with the last holder of its socket. */
import { readdirSync, readFileSync, writeSync } from 'node:fs';
import test from 'ava';
import { readSome } from '../../src/host/streams/stream-fd.ts';
import { setNonBlocking } from '../../src/host/streams/packet-fd.ts';
import { hostInterface, type HostInterface } from '../../src/network/host-interface.ts';
import { guestInterface, macAddress, passtArguments, startPasst } from '../../src/network/passt.ts';
import { findProgram } from '../../src/rootless/programs.ts';

const BOTH: HostInterface = {
  name: 'wlan0',
  ipv4: { address: '192.0.2.15', prefix: 24, gateway: '192.0.2.1' },
  ipv6: { address: '2001:db8::15', prefix: 64, gateway: 'fe80::1' },
};
const ALWAYS = [
  '--fd',
  '0',
  '--foreground',
  '--quiet',
  '--pid',
  '/proc/self/fd/1',
  '--tcp-ports',
  'none',
  '--udp-ports',
  'none',
  '--no-map-gw',
  '--dns-forward',
  '169.254.1.1',
  '--no-dhcp',
  '--no-dhcpv6',
  '--no-ra',
  '--mtu',
  '65520',
  '--interface',
];

const host = hostInterface();
const missing =
  findProgram('passt', '/usr/bin:/bin') === undefined
    ? ' (needs passt)'
    : host === undefined
      ? ' (needs a default route)'
      : '';
const real = missing === '' ? test : test.skip;

for (const [what, given, args, setup] of [
  [
    'both families',
    BOTH,
    [
      'wlan0',
      '--address',
      '192.0.2.15',
      '--netmask',
      '24',
      '--gateway',
      '192.0.2.1',
      '--address',
      '2001:db8::15',
      '--gateway',
      'fe80::1',
    ],
    [
      [
        { address: '192.0.2.15', prefix: 24 },
        { address: '2001:db8::15', prefix: 64 },
      ],
      [
        { family: 4, gateway: '192.0.2.1' },
        { family: 6, gateway: 'fe80::1' },
      ],
    ],
  ],
  [
    'IPv4 alone, nobody to go by',
    { name: 'wg0', ipv4: { address: '10.6.0.2', prefix: 32 } },
    ['wg0', '--address', '10.6.0.2', '--netmask', '32', '--ipv4-only'],
    [[{ address: '10.6.0.2', prefix: 32 }], [{ family: 4 }]],
  ],
  [
    'IPv6 alone',
    { name: 'eth0', ipv6: BOTH.ipv6! },
    ['eth0', '--ipv6-only', '--address', '2001:db8::15', '--gateway', 'fe80::1'],
    [[{ address: '2001:db8::15', prefix: 64 }], [{ family: 6, gateway: 'fe80::1' }]],
  ],
] as const)
  test(`the host's own addresses are the guest's: ${what}`, (t) => {
    t.deepEqual(passtArguments(given, 'nameserver 127.0.0.53\n'), [...ALWAYS, ...args]);
    const { name, addresses, defaultRoutes } = guestInterface(given);
    t.deepEqual([name, addresses, defaultRoutes], ['eth0', ...setup] as never);
  });

test("a MAC address is local, no group's, and the container's own", (t) => {
  t.is(macAddress('0123456789abcdef'.repeat(4)), '02:42:01:23:45:67');
});

/** Ethernet, ARP for IPv4 (RFC 826): who has the gateway */
function arpRequest(mac: Buffer, gateway: string): Buffer {
  const address = (text: string) => Buffer.from(text.split('.').map(Number));
  return Buffer.concat([
    Buffer.alloc(6, 0xff),
    mac,
    Buffer.from('08060001080006040001', 'hex'),
    mac,
    address(host!.ipv4!.address),
    Buffer.alloc(6),
    address(gateway),
  ]);
}

/** this process's: other tests have some of their own */
const passts = () =>
  readdirSync('/proc').filter(
    (pid) =>
      /^\d+$/.test(pid) &&
      read(pid, 'cmdline').startsWith('passt\0--fd\0') &&
      read(pid, 'status').includes(`\nPPid:\t${process.pid}\n`),
  );
function read(pid: string, file: string): string {
  try {
    return readFileSync(`/proc/${pid}/${file}`, 'latin1');
  } catch {
    return '';
  }
}

async function until(done: () => boolean): Promise<boolean> {
  for (
    const end = performance.now() + 60_000;
    performance.now() < end;
    await new Promise((after) => setTimeout(after, 20))
  )
    if (done()) return true;
  return done();
}

(host?.ipv4?.gateway === undefined ? test.skip : real)(
  `it answers on its socket, frame by frame, and goes with it${missing}`,
  async (t) => {
    const before = new Set(passts());
    const mac = Buffer.from(macAddress('f'.repeat(64)).replaceAll(':', ''), 'hex');
    const passt = startPasst(host!);
    await passt.ready;
    const ours = passts().filter((pid) => !before.has(pid));
    t.true(ours.length > 0);
    const frame = arpRequest(mac, host!.ipv4!.gateway!);
    writeSync(passt.link.number, Buffer.concat([Buffer.of(0, 0, 0, frame.length), frame]));
    setNonBlocking(passt.link.number);
    const reply = Buffer.alloc(100);
    let length = 0;
    t.true(await until(() => (length += readSome(passt.link.number, reply.subarray(length)) ?? 0) >= 4 + frame.length));
    t.is(reply.readUInt32BE(0), frame.length);
    t.is(reply.toString('hex', 4, 10), mac.toString('hex'));
    passt.link.close();
    t.true(await until(() => ours.every((pid) => !passts().includes(pid))));
  },
);

for (const [what, given, program, message, fix] of [
  [
    'an interface that is not there',
    { name: 'nope0', ipv4: BOTH.ipv4! },
    undefined,
    /^cannot connect the virtual machine to the network: passt: .*nope0/,
    'use --network none',
  ],
  [
    'passt not installed',
    BOTH,
    '/no/passt',
    /^cannot connect the container to the network: passt is not installed$/,
    'apt install passt (or use --network none or host)',
  ],
  [
    'a program that says nothing',
    BOTH,
    '/bin/false',
    /^cannot connect the virtual machine to the network: passt: exit status 1$/,
    'use --network none',
  ],
] as const)
  (program === undefined ? real : test)(`${what}: one line with the fix`, async (t) => {
    const passt = startPasst(given, { ...(program !== undefined && { program }) });
    const error = await t.throwsAsync(passt.ready, { name: 'HuskError', message });
    t.is((error as { fix?: string }).fix, fix);
    passt.link.close();
  });
