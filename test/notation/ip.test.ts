import test from 'ava';
import {
  contains,
  formatIp,
  formatSubnet,
  lastOf,
  overlap,
  parseCidr,
  parseIp,
  parseMac,
  sizeOf,
  isLoopback,
} from '../../src/notation/ip.ts';

for (const [text, canonical] of [
  ['10.0.0.1', '10.0.0.1'],
  ['255.255.255.255', '255.255.255.255'],
  ['::', '::'],
  ['::1', '::1'],
  ['FD00:0:0:0::1', 'fd00::1'],
  ['2001:db8:0:0:1:0:0:1', '2001:db8::1:0:0:1'],
  ['2001:db8:0:1:1:1:1:1', '2001:db8:0:1:1:1:1:1'],
  ['1:0:0:2:0:0:0:3', '1:0:0:2::3'],
  ['fe80::', 'fe80::'],
  ['10:0:0:20::30', '10:0:0:20::30'],
  ['64:ff9b::10.0.0.1', '64:ff9b::a00:1'],
  ['::ffff:10.0.0.1', '10.0.0.1'],
] as const)
  test(`${text} is ${canonical}`, (t) => {
    t.is(formatIp(parseIp(text)!), canonical);
    t.deepEqual(parseIp(canonical), parseIp(text));
  });

for (const text of ['', '1.2.3', '01.2.3.4', '1.2.3.256', 'fe80::1%eth0', ':::', '1::2::3', 'host', '10.0.0.1/8'])
  test(`${JSON.stringify(text)} is no address`, (t) => t.is(parseIp(text), undefined));

test('a subnet is its lowest address and its prefix', (t) => {
  const { address, subnet } = parseCidr('192.168.5.77/20')!;
  t.is(formatIp(address), '192.168.5.77');
  t.is(formatSubnet(subnet), '192.168.0.0/20');
  t.is(sizeOf(subnet), 4096n);
  t.is(formatIp({ family: 4, value: lastOf(subnet) }), '192.168.15.255');
  t.is(formatSubnet(parseCidr('fd00:1:2:3:4::/64')!.subnet), 'fd00:1:2:3::/64');
  t.is(formatSubnet(parseCidr('1.2.3.4/0')!.subnet), '0.0.0.0/0');
});

for (const text of ['10.0.0.0', '10.0.0.0/', '10.0.0.0/33', 'fd00::/129', '/8', '10.0.0.0/8/8', '10.0.0.0/-1', 'x/8'])
  test(`${text} is no subnet`, (t) => t.is(parseCidr(text), undefined));

for (const [one, other, expected] of [
  ['10.0.0.0/8', '10.1.0.0/16', true],
  ['10.1.0.0/16', '10.0.0.0/8', true],
  ['10.0.0.0/16', '10.1.0.0/16', false],
  ['0.0.0.0/0', 'fd00::/8', false],
  ['::/0', 'fd00::/8', true],
] as const)
  test(`${one} and ${other} ${expected ? 'overlap' : 'are apart'}`, (t) =>
    t.is(overlap(parseCidr(one)!.subnet, parseCidr(other)!.subnet), expected));

test('what lies in a subnet', (t) => {
  const { subnet } = parseCidr('10.0.0.0/30')!;
  t.true(contains(subnet, parseIp('10.0.0.3')!));
  t.false(contains(subnet, parseIp('10.0.0.4')!));
  t.false(contains(subnet, parseIp('::a00:0')!));
});

test('hardware addresses', (t) => {
  for (const text of ['02:42:AC:11:00:02', '02-42-ac-11-00-02', '0242.ac11.0002'])
    t.is(parseMac(text), '02:42:ac:11:00:02');
  for (const text of ['', '02:42:ac:11:00', '02:42:ac:11:00:02:03', '02:42:ac:11:00:0g', '0242ac110002'])
    t.is(parseMac(text), undefined);
});

for (const address of [
  '127.0.0.1',
  '127.9.9.9',
  '::1',
  '0:0:0:0:0:0:0:1',
  '::1%lo',
  '::ffff:127.0.0.1',
  '::ffff:7f00:1',
])
  test(`${address} is of a loopback`, (t) => t.true(isLoopback(address)));

for (const address of ['128.0.0.1', '::', '::2', 'fe80::1%lo', '::ffff:10.0.0.1', '127.example.org', ''])
  test(`"${address}" is of no loopback`, (t) => t.false(isLoopback(address)));
