/** Ranges of addresses, and which of them are public. */
import test from 'ava';
import { bytesOfAddress } from '../../../src/network/names/address.ts';
import { addressOf, bytesOf, isWithin, rangeElements, rangesOf } from '../../../src/network/egress/ranges.ts';
import { isPublic, notPublic } from '../../../src/network/egress/special.ts';
import { formatIp, parseCidr, parseIp, type Family } from '../../../src/notation/ip.ts';

const subnets = (...texts: string[]) => texts.map((text) => parseCidr(text)!.subnet);
const shown = (family: Family, ...texts: string[]) =>
  rangesOf(subnets(...texts), family).map(({ first, last }) =>
    [first, last].map((value) => formatIp({ family, value })).join('-'),
  );

test('what meets, touches or lies within is one range; the other family is left out', (t) => {
  t.deepEqual(shown(4, '10.1.0.0/16', '10.0.0.0/8', '192.168.1.0/24', '192.168.0.0/24', 'fd00::/8', '10.2.0.0/16'), [
    '10.0.0.0-10.255.255.255',
    '192.168.0.0-192.168.1.255',
  ]);
  t.deepEqual(shown(4, '10.0.0.0/32', '10.0.0.2/32'), ['10.0.0.0-10.0.0.0', '10.0.0.2-10.0.0.2']);
  t.deepEqual(shown(6, 'fd00::/8', '10.0.0.0/8'), ['fd00::-fdff:ffff:ffff:ffff:ffff:ffff:ffff:ffff']);
  t.deepEqual(shown(4), []);
});

test('as the kernel wants them: a start, then the first behind; the last range is open', (t) => {
  const elements = (family: Family, ...texts: string[]) =>
    rangeElements(rangesOf(subnets(...texts), family), family).map(({ key, end, open }) =>
      [Buffer.from(key).toString('hex'), end && 'end', open && 'open'].filter(Boolean).join(' '),
    );
  t.deepEqual(elements(4, '10.0.0.0/8', '255.255.255.255/32'), ['0a000000', '0b000000 end', 'ffffffff open']);
  t.deepEqual(elements(4, '0.0.0.0/0'), ['00000000 open']);
  t.deepEqual(elements(6, '::/0'), [`${'0'.repeat(32)} open`]);
});

test('bytes and addresses', (t) => {
  for (const text of ['10.0.0.1', '0.0.0.0', 'fd00::1', '::', '255.255.255.255'])
    t.is(formatIp(addressOf(bytesOf(parseIp(text)!))), text);
  // in IPv6's dress it stays what the message had: nobody public
  t.is(addressOf(bytesOfAddress('::ffff:93.184.216.34')!).family, 6);
});

const PUBLIC = ['1.1.1.1', '93.184.216.34', '172.15.255.255', '172.32.0.0', '100.63.255.255', '100.128.0.0'];
const PUBLIC_6 = ['2606:2800::1', '2a00:1450::1', '2003::1', '3fff:1000::'];
for (const text of [...PUBLIC, ...PUBLIC_6]) test(`${text} is public`, (t) => t.true(isPublic(parseIp(text)!)));

const NOT_PUBLIC = [
  '0.0.0.0',
  '10.0.0.1',
  '100.64.0.1',
  '127.0.0.1',
  '169.254.169.254',
  '172.16.0.1',
  '172.31.255.255',
  '192.0.0.8',
  '192.0.2.1',
  '192.88.99.1',
  '192.168.0.1',
  '198.18.0.1',
  '198.19.255.255',
  '198.51.100.1',
  '203.0.113.1',
  '224.0.0.1',
  '240.0.0.1',
  '255.255.255.255',
  '::',
  '::1',
  '::10.0.0.1',
  '64:ff9b::a00:1',
  '100::1',
  '2001::1',
  '2001:db8::1',
  '2002:a00:1::',
  '3fff::1',
  '4000::',
  '5f00::1',
  'fc00::1',
  'fd00:ec2::254',
  'fe80::1',
  'ff02::1',
  '::ffff:10.0.0.1',
];
for (const text of NOT_PUBLIC)
  test(`${text} is not public`, (t) => t.false(isPublic(addressOf(bytesOfAddress(text)!))));

test('others may be taken out, too', (t) => {
  const without = notPublic(4, subnets('93.184.216.34/32', 'fd00::/8'));
  t.true(isWithin(without, parseIp('93.184.216.34')!));
  t.false(isWithin(without, parseIp('93.184.216.35')!));
  t.true(isWithin(without, parseIp('10.0.0.1')!));
});
