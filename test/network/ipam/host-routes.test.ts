import test from 'ava';
import { formatSubnet } from '../../../src/notation/ip.ts';
import { hostRoutes, routes4, routes6 } from '../../../src/network/ipam/host-routes.ts';

test('IPv4: subnets, and not the default route', (t) => {
  const table = `Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT
eth0\t00000000\t010011AC\t0003\t0\t0\t0\t00000000\t0\t0\t0
eth0\t000011AC\t00000000\t0001\t0\t0\t0\t0000FFFF\t0\t0\t0
wg0\t0105A8C0\t00000000\t0005\t0\t0\t0\tFFFFFFFF\t0\t0\t0
odd\tline
`;
  t.deepEqual(routes4(table).map(formatSubnet), ['172.17.0.0/16', '192.168.5.1/32']);
});

test('IPv6: subnets, and not the default route', (t) => {
  const zeros = '0'.repeat(32);
  const line = (destination: string, length: string) =>
    `${destination} ${length} ${zeros} 00 ${zeros} 00000100 00000001 00000000 00000001     eth0`;
  const table = [line(zeros, '00'), line(`fd00${'0'.repeat(28)}`, '40'), 'odd', ''].join('\n');
  t.deepEqual(routes6(table).map(formatSubnet), ['fd00::/64']);
});

test('those of this host', (t) => t.true(Array.isArray(hostRoutes())));
