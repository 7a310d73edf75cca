import test from 'ava';
import { compose, refuse } from '../../../src/network/names/compose.ts';
import { type Query, type Refused, readQuery } from '../../../src/network/names/message.ts';
import { A, CNAME, hex, name, opt, query } from './fake-resolver.ts';

const asked = readQuery(query('web', A)) as Query;
const edns = readQuery(query('web', A, { additional: [opt(1232, 0, Buffer.from('000a0008', 'hex'))] })) as Query;

test('records have the names they point to', (t) => {
  const records = [
    { name: 12, type: CNAME, ttl: 60, data: name('a.b') },
    { name: asked.end + 12, type: A, ttl: 2 ** 31, data: Buffer.of(1, 2, 3, 4) },
  ];
  const bytes = compose(asked, records, { rcode: 0, protocol: 'udp' });
  const pointer = `c0${(asked.end + 12).toString(16)}`;
  const answers = `c00c 0005 0001 0000003c 0005 0161016200 ${pointer} 0001 0001 80000000 0004 01020304`;
  t.is(bytes.toString('hex', asked.end), hex(answers));
  t.is(bytes.toString('hex', 0, 12), hex('1234 8180 0001 0002 0000 0000'));
});

for (const [what, count, cut, kept, truncated] of [
  ['as many as there is room for', 30, false, 30, false],
  ['no more', 31, false, 30, true],
  ['what was cut before', 1, true, 1, true],
  ['nothing', 0, false, 0, false],
] as const)
  test(`records: ${what}`, (t) => {
    const records = Array.from({ length: count }, () => ({ name: 12, type: A, ttl: 1, data: Buffer.alloc(4) }));
    const bytes = compose(asked, records, { rcode: 0, protocol: 'udp', cut });
    t.is(bytes.readUInt16BE(6), kept);
    t.is((bytes[2]! & 0x02) !== 0, truncated);
    t.is(bytes.length, asked.end + 16 * kept);
  });

test('by TCP an answer ends at 64 KiB', (t) => {
  const records = Array.from({ length: 5000 }, () => ({ name: 12, type: A, ttl: 1, data: Buffer.alloc(4) }));
  const bytes = compose(edns, records, { rcode: 0, protocol: 'tcp' });
  t.true(bytes.length <= 65_535 && bytes.length > 65_500);
});

for (const [what, to, rcode, bytes] of [
  ['the question', asked, 2, hex('1234 8182 0001 0000 0000 0000 0377656200 00010001')],
  ['and EDNS', edns, 5, hex('1234 8185 0001 0000 0000 0001 0377656200 00010001 0000291000 00000000 0000')],
  [
    'and the code’s upper bits',
    edns,
    16,
    hex('1234 8180 0001 0000 0000 0001 0377656200 00010001 0000291000 01000000 0000'),
  ],
  [
    'nothing of what was not understood',
    { bytes: Buffer.from('abcd2910ffffffffffffffff00', 'hex'), rcode: 4 },
    4,
    hex('abcd a994 0000 0000 0000 0000'),
  ],
] as const)
  test(`a refusal repeats ${what}`, (t) => t.is(refuse(to as Query | Refused, rcode).toString('hex'), bytes));
