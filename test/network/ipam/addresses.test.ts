import test from 'ava';
import { formatIp, parseCidr, parseIp } from '../../../src/notation/ip.ts';
import { defaultGateway, macOf, nextAddress, spaceOf, type AddressSpace } from '../../../src/network/ipam/addresses.ts';

const space = (
  subnet: string,
  more: { range?: string; gateway?: string; auxiliary?: string[] } = {},
): AddressSpace => ({
  subnet: parseCidr(subnet)!.subnet,
  ...(more.range !== undefined && { range: parseCidr(more.range)!.subnet }),
  ...(more.gateway !== undefined && { gateway: parseIp(more.gateway)! }),
  auxiliary: (more.auxiliary ?? []).map((text) => parseIp(text)!),
});
const values = (...texts: string[]) => new Set(texts.map((text) => parseIp(text)!.value));

for (const [title, from, taken, expected] of [
  ['the lowest', space('10.0.0.0/24'), [], '10.0.0.1'],
  ['not the gateway', space('10.0.0.0/24', { gateway: '10.0.0.1' }), [], '10.0.0.2'],
  ['a gap', space('10.0.0.0/24', { gateway: '10.0.0.1' }), ['10.0.0.2', '10.0.0.4'], '10.0.0.3'],
  ['a gateway elsewhere', space('10.0.0.0/24', { gateway: '10.0.0.254' }), ['10.0.0.1'], '10.0.0.2'],
  ['not the auxiliary ones', space('10.0.0.0/24', { auxiliary: ['10.0.0.1', '10.0.0.2'] }), [], '10.0.0.3'],
  ['of the range', space('10.0.0.0/16', { range: '10.0.5.0/24', gateway: '10.0.0.1' }), [], '10.0.5.0'],
  ['IPv6', space('fd00::/64', { gateway: 'fd00::1' }), ['fd00::2'], 'fd00::3'],
  ['one of two', space('10.0.0.0/31', { gateway: '10.0.0.0' }), [], '10.0.0.1'],
] as const)
  test(`the next address: ${title}`, (t) => t.is(formatIp(nextAddress(from, values(...taken))), expected));

for (const [title, from, taken] of [
  ['the broadcast address is nobody’s', space('10.0.0.0/30', { gateway: '10.0.0.1' }), ['10.0.0.2']],
  ['the range is full', space('10.0.0.0/24', { range: '10.0.0.8/31' }), ['10.0.0.8', '10.0.0.9']],
  ['one address, which is the gateway', space('10.0.0.0/32', { gateway: '10.0.0.0' }), []],
] as const)
  test(`no address: ${title}`, (t) =>
    t.throws(() => nextAddress(from, values(...taken)), { message: /^no available IPv4 addresses/ }));

test('the gateway that nobody named', (t) => {
  t.is(formatIp(defaultGateway(space('172.17.0.0/16'))), '172.17.0.1');
  t.is(formatIp(defaultGateway(space('10.0.0.0/16', { range: '10.0.5.0/24' }))), '10.0.5.0');
  t.is(formatIp(defaultGateway(space('10.0.0.0/24', { auxiliary: ['10.0.0.1'] }))), '10.0.0.2');
  t.is(formatIp(defaultGateway(space('fd00:1::/64'))), 'fd00:1::1');
});

test('an address that is asked for', (t) => {
  const spaces: [AddressSpace, AddressSpace] = [
    space('10.0.0.0/24', { gateway: '10.0.0.1', auxiliary: ['10.0.0.9'] }),
    space('fd00::/64'),
  ];
  t.is(spaceOf(spaces, '10.0.0.7').space, spaces[0]);
  t.is(spaceOf(spaces, 'fd00::7').space, spaces[1]);
  // outside of husk's reach is who has it: who asks for it means it
  t.is(spaceOf(spaces, '10.0.0.9').space, spaces[0]);
  t.throws(() => spaceOf(spaces, '10.0.1.7'), {
    message: 'no configured subnet contains IP address 10.0.1.7',
  });
  t.throws(() => spaceOf(spaces, 'x'), { message: 'invalid IP address: x' });
  for (const text of ['10.0.0.0', '10.0.0.1', '10.0.0.255', 'fd00::'])
    t.throws(() => spaceOf(spaces, text), { message: 'Address already in use' });
});

test('the hardware address of an address', (t) => {
  t.is(macOf(parseIp('172.17.0.2')!), '02:42:ac:11:00:02');
  t.is(macOf(parseIp('fd00::1:2')!), '02:42:00:01:00:02');
});
