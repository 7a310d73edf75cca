import test from 'ava';
import { addressOfBytes, bytesOfAddress, reversedAddress } from '../../../src/network/names/address.ts';

for (const [text, hex, canonical] of [
  ['172.18.0.2', 'ac120002', undefined],
  ['0.0.0.0', '00000000', undefined],
  ['255.255.255.255', 'ffffffff', undefined],
  ['::', '00000000000000000000000000000000', undefined],
  ['::1', '00000000000000000000000000000001', undefined],
  ['1::', '00010000000000000000000000000000', undefined],
  ['fd00:12:34::2', 'fd000012003400000000000000000002', undefined],
  ['FD00:0012:0034:0:0:0:0:0002', 'fd000012003400000000000000000002', 'fd00:12:34::2'],
  ['2001:db8:0:1:1:1:1:1', '20010db8000000010001000100010001', undefined],
  ['2001:0:0:1:0:0:0:1', '20010000000000010000000000000001', '2001:0:0:1::1'],
  ['2001:db8:0:0:1:0:0:1', '20010db8000000000001000000000001', '2001:db8::1:0:0:1'],
  ['::ffff:1.2.3.4', '00000000000000000000ffff01020304', undefined],
  ['64:ff9b::1.2.3.4', '0064ff9b000000000000000001020304', '64:ff9b::102:304'],
  ['fe80::1%eth0', 'fe800000000000000000000000000001', 'fe80::1'],
] as const)
  test(`${text} is ${hex}`, (t) => {
    const bytes = bytesOfAddress(text)!;
    t.is(Buffer.from(bytes).toString('hex'), hex);
    t.is(addressOfBytes(bytes), canonical ?? text);
  });

for (const text of ['', 'web', '1.2.3', '1.2.3.256', '1.2.3.4.5', ':::', '1:2', 'g::', '1::2::3'])
  test(`no address: "${text}"`, (t) => t.is(bytesOfAddress(text), undefined));

const NIBBLES = '2.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.4.3.0.0.2.1.0.0.0.0.d.f';
for (const [name, address] of [
  ['2.0.18.172.in-addr.arpa', '172.18.0.2'],
  [`${NIBBLES}.ip6.arpa`, 'fd00:12:34::2'],
  ['2.0.18.in-addr.arpa', undefined],
  ['256.0.18.172.in-addr.arpa', undefined],
  ['02.0.18.172.in-addr.arpa', undefined],
  ['5.2.0.18.172.in-addr.arpa', undefined],
  ['x2.0.18.172.in-addr.arpa', undefined],
  ['2.0.18.172.in-addr.arpa.example', undefined],
  [`${NIBBLES.slice(2)}.ip6.arpa`, undefined],
  [`0.${NIBBLES}.ip6.arpa`, undefined],
  [`${NIBBLES.replace('d', 'g')}.ip6.arpa`, undefined],
  ['in-addr.arpa', undefined],
  ['web', undefined],
] as const)
  test(`backwards: ${name}`, (t) => t.is(reversedAddress(name), address));
