import test from 'ava';
import { answers, encodeName, readName, readQuery, readRecord, wireName } from '../../../src/network/names/message.ts';
import { A, AAAA, answerTo, name, opt, query, record } from './fake-resolver.ts';

const label = (bytes: number[] | Buffer) => Buffer.concat([Buffer.of(bytes.length), Buffer.from(bytes), Buffer.of(0)]);

for (const [what, asked, text] of [
  ['a name', name('web'), 'web'],
  ['a network behind it', name('web.front'), 'web.front'],
  ['capitals', name('WEB.Front'), 'web.front'],
  ['underscores and digits', name('my_db-1.net_2'), 'my_db-1.net_2'],
  ['the root', Buffer.of(0), ''],
  ['the longest label', name('a'.repeat(63)), 'a'.repeat(63)],
  [
    'the longest name',
    name(`${`${'a'.repeat(63)}.`.repeat(3)}${'a'.repeat(61)}`),
    `${`${'a'.repeat(63)}.`.repeat(3)}${'a'.repeat(61)}`,
  ],
  ['a dot within a label', label(Buffer.from('a.b')), 'a\\.b'],
  ['a backslash', label(Buffer.from('a\\b')), 'a\\\\b'],
  ['what is not printed', label([0, 0x41, 0xff, 0x20]), '\\000a\\255\\032'],
  // a letter of Latin-1 has no case in DNS
  ['a capital outside of ASCII', label([0xc4]), '\\196'],
] as const)
  test(`a query for ${what}`, (t) => {
    const read = readQuery(query(asked, A));
    t.like(read, { name: text, type: A, class: 1, end: 12 + asked.length + 4, size: 512, edns: undefined });
  });

const good = query('web', A);
const changed = (at: number, ...bytes: number[]) => {
  const copy = Buffer.from(good);
  copy.set(bytes, at);
  return copy;
};
for (const [what, bytes, rcode] of [
  ['nothing', Buffer.alloc(0), undefined],
  ['less than a header', good.subarray(0, 11), undefined],
  ['an answer', changed(2, 0x81), undefined],
  ['an update', changed(2, 5 << 3), 4],
  ['an inverse query', changed(2, 1 << 3), 4],
  ['no question', changed(4, 0, 0), 1],
  ['two questions', changed(4, 0, 2), 1],
  ['a question cut short', good.subarray(0, good.length - 1), 1],
  ['a name cut short', good.subarray(0, 14), 1],
  ['a name that points to itself', changed(12, 0xc0, 12), 1],
  ['a name that points into the header', changed(12, 0xc0, 0), 1],
  ['a label of 64', query(Buffer.concat([Buffer.of(64), Buffer.alloc(65)]), A), 1],
  ['a label of a kind that is not', changed(12, 0x80), 1],
  ['a name of 256', query(name(`${`${'a'.repeat(63)}.`.repeat(3)}${'a'.repeat(62)}`), A), 1],
  ['records that are not there', changed(10, 0, 1), 1],
  ['thousands of records', changed(10, 0xff, 0xff), 1],
  ['OPT twice', query('web', A, { additional: [opt(512), opt(512)] }), 1],
  [
    'OPT with a name',
    query('web', A, { additional: [record({ owner: name('x'), type: 41, data: Buffer.alloc(0) })] }),
    1,
  ],
  [
    'OPT with a pointer for a name',
    query('web', A, { additional: [record({ owner: Buffer.of(0xc0, 15), type: 41, data: Buffer.alloc(0) })] }),
    1,
  ],
  ['OPT cut short', query('web', A, { additional: [opt(512, 0, Buffer.alloc(4)).subarray(0, -1)] }), 1],
] as const)
  test(`no query: ${what}`, (t) => {
    const read = readQuery(bytes);
    t.is(read && 'rcode' in read ? read.rcode : read, rcode);
  });

for (const [what, additional, size, version] of [
  ['its size', [opt(1232)], 1232, 0],
  ['less than everybody takes', [opt(100)], 512, 0],
  ['another version', [opt(4096, 1)], 4096, 1],
  ['options', [opt(4096, 0, Buffer.from('000a00080011223344556677', 'hex'))], 4096, 0],
  ['another record before it', [record({ owner: name('x'), type: 250, data: Buffer.from('key') }), opt(1400)], 1400, 0],
] as const)
  test(`EDNS: ${what}`, (t) => {
    const read = readQuery(query('web', AAAA, { additional: [...additional] }));
    t.like(read, { name: 'web', size, edns: { version } });
  });

const asked = readQuery(query('Web.front', A)) as Extract<ReturnType<typeof readQuery>, { name: string }>;
const reply = answerTo(asked.bytes);
const changedReply = (at: number, ...bytes: number[]) => {
  const copy = Buffer.from(reply);
  copy.set(bytes, at);
  return copy;
};
for (const [what, bytes, is] of [
  ['its own question', reply, true],
  ['the name in another case', changedReply(13, ...Buffer.from('wEB')), true],
  ['a failure', changedReply(3, 2), true],
  ['a query', changedReply(2, 0x01), false],
  ['an answer to an update', changedReply(2, 0x80 | (5 << 3)), false],
  ['another name', changedReply(13, ...Buffer.from('wex')), false],
  ['the same letters cut elsewhere', changedReply(12, ...Buffer.from('\x04webf\x04ront')), false],
  ['another type', changedReply(asked.end - 3, AAAA), false],
  ['another class', changedReply(asked.end - 1, 3), false],
  ['no question', Buffer.concat([reply.subarray(0, 4), Buffer.alloc(8)]), false],
  [
    'no question: it was not understood',
    Buffer.concat([reply.subarray(0, 2), Buffer.of(0x81, 0x81), Buffer.alloc(8)]),
    true,
  ],
  ['two questions', changedReply(4, 0, 2), false],
  ['less than the question', reply.subarray(0, -1), false],
  ['less than a header', reply.subarray(0, 11), false],
] as const)
  test(`an answer with ${what}`, (t) => t.is(answers(bytes, asked), is));

/** pointers one after the other, each to the one before, the first to `x` */
const chain = (count: number) => {
  const bytes = Buffer.concat([name('x'), Buffer.alloc(2 * count)]);
  for (let index = 0; index < count; index++)
    bytes.writeUInt16BE(0xc000 | (index === 0 ? 0 : 3 + 2 * (index - 1)), 3 + 2 * index);
  return bytes;
};
for (const [what, bytes, start, text, end] of [
  [
    'labels and a pointer',
    Buffer.concat([name('front'), Buffer.from('\x03Web\xc0\x00', 'latin1')]),
    7,
    'web.front',
    13,
  ],
  ['sixteen pointers', chain(16), 33, 'x', 35],
  ['seventeen pointers', chain(17), 35, undefined, undefined],
  ['a pointer to itself', Buffer.of(0xc0, 0), 0, undefined, undefined],
  ['two pointers to each other', Buffer.of(0xc0, 2, 0xc0, 0), 2, undefined, undefined],
  ['a pointer forward', Buffer.of(0xc0, 2, 0), 0, undefined, undefined],
  ['a pointer into its own name', Buffer.from('\x01a\xc0\x00', 'latin1'), 0, undefined, undefined],
  ['a pointer back through itself', Buffer.from('\x01a\x01b\xc0\x00', 'latin1'), 2, undefined, undefined],
  ['half a pointer', Buffer.of(0, 0xc0), 1, undefined, undefined],
  ['a start outside', Buffer.of(0), 1, undefined, undefined],
] as const)
  test(`a name with ${what}`, (t) => {
    const read = readName(bytes, start);
    t.is(read?.text, text);
    t.is(read?.end, end);
    if (read) t.deepEqual(readName(wireName(bytes, read), 0)?.text, text);
  });

test('a name that grows by pointers is no longer than any other', (t) => {
  // the second goes on with the first: 128 bytes and 128 bytes
  const long = Buffer.concat([Buffer.of(63), Buffer.alloc(63, 'a'), Buffer.of(63), Buffer.alloc(63, 'a')]);
  t.is(readName(Buffer.concat([long, Buffer.of(0), long, Buffer.of(0xc0, 0)]), 129), undefined);
});

test('a record lies within its message', (t) => {
  const bytes = record({ owner: name('x'), type: A, ttl: 2 ** 32 - 1, data: Buffer.of(1, 2, 3, 4) });
  t.deepEqual(readRecord(bytes, 0), { start: 0, type: A, class: 1, ttl: 2 ** 32 - 1, data: 13, end: 17 });
  for (let length = 0; length < bytes.length; length++) t.is(readRecord(bytes.subarray(0, length), 0), undefined);
});

for (const [text, bytes] of [
  ['web.front', name('web.front')],
  ['Web', name('Web')],
  ['', Buffer.of(0)],
  ['a'.repeat(64), undefined],
  ['a..b', undefined],
  ['.a', undefined],
  [`${'a'.repeat(63)}.`.repeat(4).slice(0, -1), undefined],
] as const)
  test(`bytes of "${text}"`, (t) => t.deepEqual(encodeName(text), bytes));
