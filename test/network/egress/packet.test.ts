/** Heads of packets: what a hostile container wrote is read as it is, and never beyond its end. */
import test from 'ava';
import { readPacketHead } from '../../../src/network/egress/packet.ts';

const V4 = '45000000 0000 0000 40 06 0000 0a000002 5db8d822';
const V6 = '60000000 0000 11 40 fd000000000000000000000000000002 26062800000000000000000000000001';
const PORTS = 'c000 01bb';
const read = (hex: string) => {
  const head = readPacketHead(Buffer.from(hex.replaceAll(' ', ''), 'hex'));
  return head && [head.source, head.destination, head.protocol, head.port].join(' ').trim();
};

const CASES: [what: string, hex: string, expected: string | undefined][] = [
  ['TCP', V4 + PORTS, '10.0.0.2 93.184.216.34 tcp 443'],
  ['UDP by IPv6', V6 + PORTS, 'fd00::2 2606:2800::1 udp 443'],
  ['ICMP', V4.replace('40 06', '40 01') + PORTS, '10.0.0.2 93.184.216.34 icmp'],
  ['another protocol', V4.replace('40 06', '40 84') + PORTS, '10.0.0.2 93.184.216.34 132'],
  ['options of IPv4', V4.replace('45', '46') + '01010101' + PORTS, '10.0.0.2 93.184.216.34 tcp 443'],
  ['a header shorter than it can be', V4.replace('45', '41') + PORTS, '10.0.0.2 93.184.216.34 tcp'],
  ['a header longer than the packet', V4.replace('45', '4f') + PORTS, '10.0.0.2 93.184.216.34 tcp'],
  ['a later fragment', V4.replace('0000 0000 40', '0000 0001 40') + PORTS, '10.0.0.2 93.184.216.34 tcp'],
  ['ports that are cut off', `${V4}c00001`, '10.0.0.2 93.184.216.34 tcp'],
  ['a header that is cut off', V4.slice(0, -2), undefined],
  ['another version', `5${V4.slice(1)}`, undefined],
  ['nothing', '', undefined],
  [
    'options of IPv6',
    `${V6.replace('0000 11 40', '0000 00 40')}1100010400000000${PORTS}`,
    'fd00::2 2606:2800::1 udp 443',
  ],
  [
    'the first fragment of IPv6',
    `${V6.replace('0000 11 40', '0000 2c 40')}1100000100000000${PORTS}`,
    'fd00::2 2606:2800::1 udp 443',
  ],
  ['a later one', `${V6.replace('0000 11 40', '0000 2c 40')}1100000900000000${PORTS}`, 'fd00::2 2606:2800::1 udp'],
];
for (const [what, hex, expected] of CASES) test(what, (t) => t.is(read(hex), expected));

test('extensions without end are left off', (t) => {
  const head = read(V6.replace('0000 11 40', '0000 00 40') + '0000000000000000'.repeat(100));
  t.is(head, 'fd00::2 2606:2800::1 0');
});

test('whatever the bytes are, it reads none that is not there', (t) => {
  let seed = 1;
  const next = () => (seed = (Math.imul(seed, 1_103_515_245) + 12_345) >>> 0) >>> 16;
  for (let round = 0; round < 20_000; round++) {
    const bytes = Buffer.from(Array.from({ length: next() % 120 }, () => next() & 0xff));
    if (bytes.length > 0) bytes[0] = [0x45, 0x4f, 0x60, next() & 0xff][round % 4]!;
    const head = readPacketHead(bytes);
    t.true(head === undefined || head.port === undefined || head.port <= 0xffff);
  }
});
