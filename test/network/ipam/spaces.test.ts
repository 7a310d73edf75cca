import test from 'ava';
import type { IpamRequest } from '../../../src/network/ipam/spaces.ts';
import { addressSpaces, readIpam } from '../../../src/network/ipam/spaces.ts';
import { formatIp, formatSubnet } from '../../../src/notation/ip.ts';

const BOTH = { 4: true, 6: true };
const one = { subnet: '10.1.0.0/16' };

for (const [title, requests, message] of [
  ['no subnet', [{ subnet: '10.1.0.0' }], 'invalid subnet 10.1.0.0: invalid CIDR block notation'],
  ['host bits', [{ subnet: '10.1.0.5/16' }], 'invalid subnet 10.1.0.5/16: it should be 10.1.0.0/16'],
  ['a range', [{ ...one, range: 'x' }], 'invalid ip-range x: invalid CIDR block notation'],
  ['a range of 6', [{ ...one, range: 'fd00::/64' }], 'invalid ip-range fd00::/64: parent subnet is an IPv4 block'],
  [
    'a large range',
    [{ ...one, range: '10.0.0.0/8' }],
    'invalid ip-range 10.0.0.0/8: CIDR block is bigger than its parent subnet 10.1.0.0/16',
  ],
  [
    'host bits of a range',
    [{ ...one, range: '10.1.0.1/24' }],
    'invalid ip-range 10.1.0.1/24: it should be 10.1.0.0/24',
  ],
  [
    'a range elsewhere',
    [{ ...one, range: '10.2.0.0/24' }],
    "invalid ip-range 10.2.0.0/24: parent subnet 10.1.0.0/16 doesn't contain ip-range",
  ],
  ['a gateway', [{ ...one, gateway: 'x' }], 'invalid gateway x: invalid address'],
  ['a gateway of 6', [{ ...one, gateway: 'fd00::1' }], 'invalid gateway fd00::1: parent subnet is an IPv4 block'],
  [
    'a gateway elsewhere',
    [{ ...one, gateway: '10.2.0.1' }],
    "invalid gateway 10.2.0.1: parent subnet 10.1.0.0/16 doesn't contain this address",
  ],
  [
    'an auxiliary address elsewhere',
    [{ ...one, auxiliary: { printer: '10.2.0.1' } }],
    "invalid auxiliary address printer: parent subnet 10.1.0.0/16 doesn't contain this address",
  ],
  ['overlap', [one, { subnet: '10.1.1.0/24' }], 'multiple overlapping subnet configuration is not supported'],
  ['two of a family', [one, { subnet: '10.2.0.0/24' }], "bridge driver doesn't support multiple subnets"],
] as [string, IpamRequest[], string][])
  test(`refused: ${title}`, (t) =>
    t.throws(() => readIpam(requests, BOTH), { message: `invalid network config: ${message}` }));

test('a family that the network has not', (t) => {
  t.throws(() => readIpam([{ subnet: 'fd00::/64' }], { 4: true, 6: false }), { message: /is of IPv6, which/ });
  t.throws(() => readIpam([one], { 4: false, 6: true }), { message: /is of IPv4, which/ });
});

test('one of each family, with everything', (t) => {
  const [four, six] = readIpam(
    [
      { ...one, range: '10.1.2.0/24', gateway: '10.1.0.9', auxiliary: { printer: '10.1.2.1' } },
      { subnet: 'fd00::/64' },
    ],
    BOTH,
  );
  t.is(formatSubnet(four!.range!), '10.1.2.0/24');
  t.is(formatIp(four!.gateway!), '10.1.0.9');
  t.deepEqual(four!.names, ['printer']);
  t.is(formatSubnet(six!.subnet), 'fd00::/64');
  t.is(six!.gateway, undefined);
});

test('a record as values', (t) => {
  const [space] = addressSpaces([
    { subnet: '10.1.0.0/16', gateway: '10.1.0.1', range: '10.1.2.0/24', auxiliary: { printer: '10.1.2.1' } },
  ]);
  t.is(formatIp(space!.gateway!), '10.1.0.1');
  t.deepEqual(space!.auxiliary.map(formatIp), ['10.1.2.1']);
});
