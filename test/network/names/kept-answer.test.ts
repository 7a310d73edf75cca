import test from 'ava';
import { keptAnswer, readAnswer } from '../../../src/network/names/kept-answer.ts';
import { type Query, readName, readQuery, readRecord } from '../../../src/network/names/message.ts';
import { A, AAAA, answerTo, ASKED, CNAME, MX, hex, name, opt, query, record, TXT } from './fake-resolver.ts';

const ip = (text: string) => Buffer.from(text.split('.').map(Number));
const a = (owner: Buffer, address: string, ttl = 300) => record({ owner, type: A, ttl, data: ip(address) });
const alias = (owner: Buffer, target: string, ttl = 300) => record({ owner, type: CNAME, ttl, data: name(target) });
const ANY = 255;

/** owner, type, ttl, and the data of the records that are there, in hexadecimal */
function records(bytes: Buffer, { end }: Query): string[] {
  const all: string[] = [];
  let at = end;
  for (let count = bytes.readUInt16BE(6); count > 0; count--) {
    const found = readRecord(bytes, at)!;
    const data = bytes.toString('hex', found.data, found.end);
    all.push(`${readName(bytes, at)!.text} ${found.type} ${found.ttl} ${data}`);
    at = found.end;
  }
  return all;
}

for (const [what, type, answers, addresses] of [
  ['the name itself', A, [a(ASKED, '1.2.3.4', 30)], ['1.2.3.4 30']],
  ['several', A, [a(ASKED, '1.2.3.4'), a(ASKED, '1.2.3.5')], ['1.2.3.4 300', '1.2.3.5 300']],
  ['any case', A, [a(name('WEB.Example'), '1.2.3.4')], ['1.2.3.4 300']],
  [
    'IPv6',
    AAAA,
    [record({ owner: ASKED, type: AAAA, data: Buffer.from('20010db8000000000000000000000001', 'hex') })],
    ['2001:db8::1 300'],
  ],
  ['a CNAME', A, [alias(ASKED, 'x.example'), a(name('x.example'), '1.2.3.4')], ['1.2.3.4 300']],
  [
    'CNAMEs in the wrong order',
    A,
    [a(name('y'), '1.2.3.4'), alias(name('x'), 'y'), alias(ASKED, 'x')],
    ['1.2.3.4 300'],
  ],
  ['the name of a CNAME is not its target', A, [alias(ASKED, 'x'), a(ASKED, '1.2.3.4')], []],
  ['somebody else', A, [a(name('bank.example'), '1.2.3.4')], []],
  ['somebody else beside it', A, [a(ASKED, '1.2.3.4'), a(name('bank.example'), '6.6.6.6')], ['1.2.3.4 300']],
  ['the other family', A, [record({ owner: ASKED, type: AAAA, data: Buffer.alloc(16) })], []],
  ['another class', A, [record({ owner: ASKED, type: A, class: 3, data: ip('1.2.3.4') })], []],
  ['an address of five bytes', A, [record({ owner: ASKED, type: A, data: Buffer.alloc(5) })], []],
  ['a CNAME to itself', A, [alias(ASKED, 'web.example'), a(ASKED, '1.2.3.4')], ['1.2.3.4 300']],
  ['CNAMEs in a circle', A, [alias(ASKED, 'x'), alias(name('x'), 'web.example'), a(ASKED, '1.2.3.4')], ['1.2.3.4 300']],
  [
    'anything',
    ANY,
    [a(ASKED, '1.2.3.4'), record({ owner: ASKED, type: TXT, data: Buffer.of(1, 65) })],
    ['1.2.3.4 300'],
  ],
  ['a thousand', A, Array.from({ length: 1000 }, (_, index) => a(ASKED, `10.0.${index >> 8}.${index & 255}`)), 256],
  ['nothing', A, [], []],
] as const)
  test(`addresses of ${what}`, (t) => {
    const asked = readQuery(query('web.example', type)) as Query;
    const read = readAnswer(answerTo(asked.bytes, { answers: [...answers] }), asked)!;
    const found = read.addresses.map(({ address, ttl }) => `${address} ${ttl}`);
    if (typeof addresses === 'number') t.is(found.length, addresses);
    else t.deepEqual(found, [...addresses]);
  });

for (const [what, answers] of [
  ['a record cut short', [a(ASKED, '1.2.3.4').subarray(0, -1)]],
  ['an owner that points to itself', [a(Buffer.of(0xc0, 29), '1.2.3.4')]],
  [
    'a CNAME with something behind its name',
    [record({ owner: ASKED, type: CNAME, data: Buffer.concat([name('x'), Buffer.of(0)]) })],
  ],
  ['a CNAME that is no name', [record({ owner: ASKED, type: CNAME, data: Buffer.of(64) })]],
  ['a CNAME of nothing', [record({ owner: ASKED, type: CNAME, data: Buffer.alloc(0) })]],
] as const)
  test(`broken: ${what}`, (t) => {
    const asked = readQuery(query('web.example', A)) as Query;
    t.is(readAnswer(answerTo(asked.bytes, { answers: [...answers] }), asked), undefined);
  });

test('broken: more records than there are', (t) => {
  const asked = readQuery(query('web.example', A)) as Query;
  const answer = answerTo(asked.bytes, { answers: [a(ASKED, '1.2.3.4')] });
  answer.writeUInt16BE(2, 6);
  t.is(readAnswer(answer, asked), undefined);
});

const options = { kept: [{ address: '1.2.3.5', ttl: 0 }], maxTtl: 60, protocol: 'udp' } as const;

test('what is not kept is cut, by its CNAMEs the rest is as it was, for a minute', (t) => {
  const asked = readQuery(query('web.example', A, { additional: [opt(1232)] })) as Query;
  const answer = answerTo(asked.bytes, {
    answers: [
      alias(ASKED, 'x.example', 7200),
      alias(name('x.example'), 'Y.example', 30),
      a(name('y.example'), '1.2.3.4'),
      a(name('y.example'), '1.2.3.5', 3600),
      a(name('bank.example'), '1.2.3.5'),
    ],
    authority: [a(name('bank.example'), '6.6.6.6')],
    additional: [a(name('bank.example'), '6.6.6.6')],
  });
  const kept = keptAnswer(answer, asked, readAnswer(answer, asked)!, options);
  t.deepEqual(records(kept, asked), [
    `web.example 5 60 ${name('x.example').toString('hex')}`,
    `x.example 5 30 ${name('Y.example').toString('hex')}`,
    'y.example 1 60 01020305',
  ]);
  t.is(kept.toString('hex', 0, 12), hex('1234 8180 0001 0003 0000 0001'));
});

test('an address that was not in the answer is not put in', (t) => {
  const asked = readQuery(query('web.example', A)) as Query;
  const answer = answerTo(asked.bytes, { answers: [a(ASKED, '1.2.3.4')] });
  t.deepEqual(records(keptAnswer(answer, asked, readAnswer(answer, asked)!, options), asked), []);
});

for (const [what, flags, hex] of [
  ['no such name', 0x8183, '8183'],
  ['cut before', 0x8380, '8380'],
] as const)
  test(`it is still said that there is ${what}`, (t) => {
    const asked = readQuery(query('web.example', A)) as Query;
    const answer = answerTo(asked.bytes, { flags });
    t.is(keptAnswer(answer, asked, readAnswer(answer, asked)!, options).toString('hex', 2, 4), hex);
  });

test('what has no addresses stays as it is, with its names; what follows it goes', (t) => {
  const asked = readQuery(query('web.example', MX)) as Query;
  // 10 mail.web.example, which ends with the question's name
  const data = Buffer.concat([Buffer.of(0, 10, 4), Buffer.from('mail'), ASKED]);
  const answer = answerTo(asked.bytes, {
    answers: [record({ owner: ASKED, type: MX, ttl: 3600, data }), record({ owner: ASKED, type: MX, ttl: 5, data })],
    additional: [a(name('mail.web.example'), '6.6.6.6')],
  });
  const kept = keptAnswer(answer, asked, readAnswer(answer, asked)!, options);
  const same = data.toString('hex');
  t.deepEqual(records(kept, asked), [`web.example 15 60 ${same}`, `web.example 15 5 ${same}`]);
  t.is(kept.toString('hex', 4, 12), hex('0001 0002 0000 0000'));
  t.is(readRecord(kept, asked.end)!.end + 21, kept.length);
});

test('addresses in the answer to another question are cut with it', (t) => {
  const asked = readQuery(query('web.example', MX)) as Query;
  const answer = answerTo(asked.bytes, { answers: [a(ASKED, '1.2.3.5')] });
  t.deepEqual(records(keptAnswer(answer, asked, readAnswer(answer, asked)!, options), asked), []);
});

test('an answer without a question has nothing', (t) => {
  const asked = readQuery(query('web.example', MX)) as Query;
  const answer = Buffer.from('123481810000000000000000', 'hex');
  const kept = keptAnswer(answer, asked, readAnswer(answer, asked)!, options);
  t.is(kept.readUInt16BE(2) & 0xf, 1);
  t.deepEqual(records(kept, asked), []);
});
