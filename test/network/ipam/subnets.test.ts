import test from 'ava';
import { HuskError } from '../../../src/errors.ts';
import { formatSubnet, parseCidr, type Subnet } from '../../../src/notation/ip.ts';
import {
  checkFree,
  DEFAULT_POOLS,
  nextSubnet,
  readPools,
  uniqueLocalSubnet,
} from '../../../src/network/ipam/subnets.ts';

const subnets = (...texts: string[]) => texts.map((text) => parseCidr(text)!.subnet);

for (const [taken, expected] of [
  [[], '172.17.0.0/16'],
  [['172.17.0.0/16'], '172.18.0.0/16'],
  [['172.18.0.0/16'], '172.17.0.0/16'],
  [['172.16.0.0/12'], '192.168.0.0/20'],
  [['172.16.0.0/12', '192.168.0.0/24'], '192.168.16.0/20'],
  [['172.17.5.0/24', '172.18.0.0/15'], '172.20.0.0/16'],
  [['172.16.0.0/12', '192.168.0.0/17'], '192.168.128.0/20'],
  [['172.17.0.0/16', '172.18.0.1/32', '172.19.255.255/32', 'fd00::/8'], '172.20.0.0/16'],
] as const)
  test(`beside ${taken.join(', ') || 'nothing'} the next one is ${expected}`, (t) =>
    t.is(formatSubnet(nextSubnet(DEFAULT_POOLS, 4, subnets(...taken))), expected));

test('as many as Docker has, then none', (t) => {
  const taken: Subnet[] = [];
  try {
    for (;;) taken.push(nextSubnet(DEFAULT_POOLS, 4, taken));
  } catch (error) {
    t.true(error instanceof HuskError);
    t.is((error as HuskError).message, 'all predefined address pools have been fully subnetted');
  }
  t.is(taken.length, 15 + 16);
  t.is(new Set(taken.map(formatSubnet)).size, taken.length);
});

test('pools of the config', (t) => {
  const pools = readPools([
    { base: '10.9.0.0/23', size: 24 },
    { base: 'fd00:1::/48', size: 64 },
  ]);
  t.is(formatSubnet(nextSubnet(pools, 4, subnets('10.9.0.0/24'))), '10.9.1.0/24');
  t.is(formatSubnet(nextSubnet(pools, 6, subnets('fd00:1::/64'))), 'fd00:1:0:1::/64');
  t.throws(() => nextSubnet(pools, 4, subnets('10.0.0.0/8')), { message: /fully subnetted/ });
  t.is(readPools(undefined), DEFAULT_POOLS);
  t.is(readPools([]), DEFAULT_POOLS);
  t.throws(() => readPools([{ base: '10.9.0.1/24', size: 24 }]), { message: /"10\.9\.0\.1\/24" is no subnet/ });
  t.throws(() => readPools([{ base: 'x', size: 24 }]), { message: /"x" is no subnet/ });
  t.throws(() => readPools([{ base: '10.9.0.0/24', size: 16 }]), { message: /use 24 to 32/ });
  t.throws(() => readPools([{ base: '10.9.0.0/24', size: 33 }]), { message: /use 24 to 32/ });
});

test('a subnet of IPv6 that nobody else has', (t) => {
  t.is(formatSubnet(uniqueLocalSubnet('0123456789')), 'fd01:2345:6789::/64');
  t.is(formatSubnet(uniqueLocalSubnet('ffffffffff')), 'fdff:ffff:ffff::/64');
});

test('what overlaps another network is refused', (t) => {
  const taken = [{ subnet: parseCidr('10.1.0.0/16')!.subnet, name: 'one' }];
  t.notThrows(() => checkFree(parseCidr('10.2.0.0/16')!.subnet, taken));
  t.throws(() => checkFree(parseCidr('10.0.0.0/8')!.subnet, taken), {
    message:
      'invalid pool request: Pool overlaps with other one on this address space: 10.0.0.0/8 with 10.1.0.0/16 of network one',
  });
});
