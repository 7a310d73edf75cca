/** What is answered without asking anybody; the bytes of it are judged by dig, in server.test.ts. */
import test from 'ava';
import { addressOfBytes } from '../../../src/network/names/address.ts';
import { answerOwn } from '../../../src/network/names/answer.ts';
import { type Query, readName, readQuery, readRecord } from '../../../src/network/names/message.ts';
import { ASKER, NAMES } from './fake-names.ts';
import { A, AAAA, MX, opt, PTR, query, TXT } from './fake-resolver.ts';

const own = (bytes: Buffer, options: { asker?: string; ndotsSet?: boolean; protocol?: 'udp' | 'tcp' } = {}) =>
  answerOwn(readQuery(bytes) as Query, { names: NAMES, asker: ASKER, ndotsSet: false, protocol: 'udp', ...options });

/** the values of an answer's records */
function values(answer: Buffer, { end }: Query): string[] {
  const all: string[] = [];
  for (let at = end, count = answer.readUInt16BE(6); count > 0; count--) {
    const record = readRecord(answer, at)!;
    const isName = record.type === PTR;
    all.push(isName ? readName(answer, record.data)!.text : addressOfBytes(answer.subarray(record.data, record.end)));
    at = record.end;
  }
  return all.sort();
}

const MANY = Array.from({ length: 100 }, (_, index) => `172.18.1.${index}`).sort();
for (const [what, name, type, expected, options] of [
  ['A', 'web', A, ['172.18.0.2']],
  ['AAAA', 'web', AAAA, ['fd00:1::2']],
  ['any case', 'WeB', A, ['172.18.0.2']],
  ['name.network', 'web.front', A, ['172.18.0.2']],
  ['a network with a dot', 'db.back.two', A, ['172.20.0.2']],
  ['a name of two networks', 'db', A, ['172.19.0.2', '172.20.0.2']],
  ['all that have the name', 'pool', A, ['172.18.0.3', '172.18.0.4', '172.18.0.5']],
  ['a known name without IPv6', 'pool', AAAA, []],
  ['a known name without IPv4', 'six', A, []],
  ['a known name and mail', 'web', MX, []],
  ['a known name and text', 'web', TXT, undefined],
  ['an unknown name', 'x', A, undefined],
  ['an unknown name and mail', 'x', MX, undefined],
  ['another network', 'web.back', A, undefined],
  ['a link of the asker', 'mysql', A, ['172.19.0.2']],
  ['a link of somebody else', 'mysql', A, undefined, { asker: 'other' }],
  ['backwards', '2.0.18.172.in-addr.arpa', PTR, ['web.front']],
  ['backwards, in capitals', '2.0.18.172.IN-ADDR.ARPA', PTR, ['web.front']],
  ['IPv6 backwards', `6${'.0'.repeat(23)}.2.0.0.0.0.0.d.f.ip6.arpa`, PTR, ['six.back']],
  ['backwards, unknown', '9.0.18.172.in-addr.arpa', PTR, undefined],
  ['backwards, no address', 'web', PTR, undefined],
  ['one label, with ndots', 'x', A, [], { ndotsSet: true }],
  ['one label and IPv6, with ndots', 'x', AAAA, [], { ndotsSet: true }],
  ['one label and text, with ndots', 'x', TXT, undefined, { ndotsSet: true }],
  ['two labels, with ndots', 'x.y', A, undefined, { ndotsSet: true }],
  ['a known name, with ndots', 'web', A, ['172.18.0.2'], { ndotsSet: true }],
  ['many, by TCP', 'many', A, MANY, { protocol: 'tcp' }],
] as const)
  test(`answered here: ${what}`, (t) => {
    const bytes = query(name, type);
    const answer = own(bytes, options);
    t.deepEqual(answer && values(answer, readQuery(bytes) as Query), expected && [...expected]);
  });

test('a class other than IN is not ours', (t) => t.is(own(query('web', A, { class: 3 })), undefined));

for (const [what, additional, size, count] of [
  ['512 bytes without EDNS', [], 512, 30],
  ['512 bytes where EDNS says less', [opt(16)], 512, 29],
  ['what EDNS says', [opt(1232)], 1232, 74],
  ['all of it where there is room', [opt(4096)], 4096, 100],
  ['the longest datagram', [opt(65_535)], 65_535, 100],
] as const)
  test(`by UDP an answer has room for ${what}`, (t) => {
    const bytes = query('many', A, { additional: [...additional] });
    const answer = own(bytes)!;
    t.true(answer.length <= size);
    t.is(answer.readUInt16BE(6), count);
    t.is((answer[2]! & 0x02) !== 0, count < 100, 'TC');
    t.is(answer.readUInt16BE(10), additional.length);
  });

test('the header is the query’s own: id, RD and CD; the question keeps its case', (t) => {
  for (const flags of [0x0000, 0x0100, 0x0010, 0x0110]) {
    const bytes = query('wEb', A, { id: 0xbeef, flags });
    const answer = own(bytes)!;
    t.is(answer.readUInt16BE(0), 0xbeef);
    t.is(answer.readUInt16BE(2), 0x8080 | flags);
    t.deepEqual(answer.subarray(12, bytes.length), bytes.subarray(12));
  }
});

test('the order changes', (t) => {
  const firsts = new Set<string>();
  const bytes = query('pool', A);
  const { end } = readQuery(bytes) as Query;
  for (let count = 0; count < 200; count++) {
    const answer = own(bytes)!;
    firsts.add(addressOfBytes(answer.subarray(end + 12, end + 16)));
  }
  t.is(firsts.size, 3);
});

test('a name that DNS cannot say is not told', (t) => {
  const names = { lookup: () => undefined, reverse: () => `${'a'.repeat(64)}.front` };
  const bytes = readQuery(query('2.0.18.172.in-addr.arpa', PTR)) as Query;
  t.is(answerOwn(bytes, { names, asker: ASKER, ndotsSet: false, protocol: 'udp' }), undefined);
});
