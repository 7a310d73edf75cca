/** proc(5)'s routing tables, as kernels write them, and what is not believed of them. */
import type { NetworkInterfaceInfo } from 'node:os';
import test from 'ava';
import { chooseHostAddress, chooseInterface, defaultRoute4, defaultRoute6 } from '../../src/network/host-interface.ts';

const HEAD =
  'Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT                                                       \n';
const row4 = (name: string, destination: string, gateway: string, flags: string, metric: number, mask: string) =>
  `${name}\t${destination}\t${gateway}\t${flags}\t0\t0\t${metric}\t${mask}\t0\t0\t0                                                                               \n`;
const ZERO = '00000000';

for (const [what, table, expected] of [
  ['none', HEAD + row4('eth0', '000200C0', ZERO, '0001', 0, '00FFFFFF'), undefined],
  ['by a gateway', HEAD + row4('eth0', ZERO, '010200C0', '0003', 0, ZERO), { name: 'eth0', gateway: '192.0.2.1' }],
  ['on the link', HEAD + row4('wg0', ZERO, ZERO, '0001', 0, ZERO), { name: 'wg0' }],
  [
    'the lowest metric',
    HEAD + row4('wlan0', ZERO, '0100A8C0', '0003', 600, ZERO) + row4('eth0', ZERO, '010200C0', '0003', 100, ZERO),
    { name: 'eth0', gateway: '192.0.2.1' },
  ],
  [
    "not half of all (a VPN's 0.0.0.0/1), nor a reject route",
    HEAD + row4('tun0', ZERO, '010200C0', '0003', 0, '00000080') + row4('lo', ZERO, ZERO, '0201', 0, ZERO),
    undefined,
  ],
  ['an empty file', '', undefined],
  ['not a table', '\0\t\t\n\t\t\t\t\t\t\t\n', undefined],
] as const)
  test(`IPv4: ${what}`, (t) => t.deepEqual(defaultRoute4(table), expected));

const NONE = '0'.repeat(32);
const row6 = (destination: string, length: string, gateway: string, metric: string, flags: string, name: string) =>
  `${destination} ${length} ${NONE} 00 ${gateway} ${metric} 00000001 00000000 ${flags} ${name.padStart(8)}\n`;

for (const [what, table, expected] of [
  ["none but the kernel's own reject", row6(NONE, '00', NONE, 'ffffffff', '00200200', 'lo'), undefined],
  [
    'by a gateway',
    row6('fe80' + '0'.repeat(28), '40', NONE, '00000100', '00000001', 'eth0') +
      row6(NONE, '00', 'fe80000000000000000000000000000a', '00000400', '00000003', 'eth0'),
    { name: 'eth0', gateway: 'fe80:0000:0000:0000:0000:0000:0000:000a' },
  ],
  ['unreachable', row6(NONE, '00', NONE, '00000400', '00200201', 'eth0'), undefined],
  ['an empty file', '', undefined],
] as const)
  test(`IPv6: ${what}`, (t) => t.deepEqual(defaultRoute6(table), expected));

const info = (family: 'IPv4' | 'IPv6', address: string, cidr: string): NetworkInterfaceInfo =>
  ({ address, cidr, netmask: '', mac: '', internal: false, family, scopeid: 0 }) as NetworkInterfaceInfo;
const INTERFACES = {
  eth0: [
    info('IPv4', '192.0.2.15', '192.0.2.15/24'),
    info('IPv6', 'fe80::9', 'fe80::9/64'),
    info('IPv6', '2001:db8::9', '2001:db8::9/64'),
  ],
  wlan0: [info('IPv6', '2001:db8:1::9', '2001:db8:1::9/64')],
};
const V4 = { name: 'eth0', gateway: '192.0.2.1' };

for (const [what, routes, expected] of [
  [
    'both',
    { ipv4: V4, ipv6: { name: 'eth0' } },
    {
      name: 'eth0',
      ipv4: { address: '192.0.2.15', prefix: 24, gateway: '192.0.2.1' },
      ipv6: { address: '2001:db8::9', prefix: 64 },
    },
  ],
  [
    'IPv6 by another interface is left out',
    { ipv4: V4, ipv6: { name: 'wlan0' } },
    { name: 'eth0', ipv4: { address: '192.0.2.15', prefix: 24, gateway: '192.0.2.1' } },
  ],
  ['IPv6 alone', { ipv6: { name: 'wlan0' } }, { name: 'wlan0', ipv6: { address: '2001:db8:1::9', prefix: 64 } }],
  ['an interface without addresses', { ipv4: { name: 'gone0' } }, undefined],
  ['nothing', {}, undefined],
] as const)
  test(`addresses: ${what}`, (t) => t.deepEqual(chooseInterface(routes, INTERFACES), expected));

test("by which address containers reach the host: the way out's, else any that is no loopback's", (t) => {
  const info = (family: 'IPv4' | 'IPv6', address: string, internal = false) =>
    ({ family, address, internal, netmask: '', mac: '', cidr: null }) as NetworkInterfaceInfo;
  const interfaces = {
    lo: [info('IPv4', '127.0.0.1', true)],
    eth0: [info('IPv6', 'fe80::1'), info('IPv6', '2001:db8::1'), info('IPv4', '192.0.2.1')],
    eth1: [info('IPv4', '192.0.2.9')],
  };
  t.is(chooseHostAddress({ name: 'eth1', ipv4: { address: '192.0.2.9', prefix: 24 } }, interfaces), '192.0.2.9');
  t.is(chooseHostAddress({ name: 'eth0', ipv6: { address: '2001:db8::1', prefix: 64 } }, interfaces), '2001:db8::1');
  t.is(chooseHostAddress(undefined, interfaces), '192.0.2.1');
  t.is(chooseHostAddress(undefined, { eth0: interfaces.eth0.slice(0, 2) }), '2001:db8::1');
  t.is(chooseHostAddress(undefined, { lo: interfaces.lo, eth0: interfaces.eth0.slice(0, 1) }), undefined);
});
