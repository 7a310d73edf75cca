/**
 * The protobuf reader against hostile bytes, and both ways against themselves. HUSK_FUZZ_SECONDS lengthens the fuzz.
 */
import test from 'ava';
import { HuskError } from '../../../src/errors.ts';
import { readBridgeSolve, readPrune, readReturn, readSolve } from '../../../src/service/buildkit/messages.ts';
import { bytes, Fields, map, message, number, text, timestamp } from '../../../src/service/buildkit/wire.ts';
import { random } from '../../fixtures/random.ts';

const SECONDS = Number(process.env['HUSK_FUZZ_SECONDS'] ?? 1);
const SEED = Number(process.env['HUSK_FUZZ_SEED'] ?? Date.now() % 2 ** 31);

test('what is written is read', (t) => {
  const fields = new Fields(
    message(
      text(1, 'ü'),
      number(2, 300),
      number(3, -1),
      number(4, true),
      map(5, [
        ['a', 'b'],
        ['c', ''],
      ]),
      bytes(6, message(number(1, 7))),
      text(7, 'x'),
      text(7, 'y'),
      bytes(2 ** 29 - 1, 'far'),
    ),
  );
  t.is(fields.text(1), 'ü');
  t.is(fields.unsigned(2), 300);
  t.is(fields.integer(3), -1);
  t.true(fields.boolean(4));
  t.deepEqual(
    [...fields.textMap(5)],
    [
      ['a', 'b'],
      ['c', ''],
    ],
  );
  t.is(fields.message(6)!.integer(1), 7);
  t.deepEqual(fields.texts(7), ['x', 'y']);
  t.is(fields.text(2 ** 29 - 1), 'far');
  t.is(fields.text(99), '');
  t.is(fields.integer(99), 0);
  t.is(fields.message(99), undefined);
});

const BYTES: [name: string, hex: string, written: Buffer | undefined][] = [
  ['150 in field 1', '089601', number(1, 150)],
  ['"testing" in field 2', '120774657374696e67', text(2, 'testing')],
  ['nothing for 0', '', number(1, 0) ?? Buffer.alloc(0)],
  ['-2 in ten bytes', '08feffffffffffffffff01', number(1, -2)],
  ['an empty message', '1a00', bytes(3, '')],
  ['a time', '0a0608011080cab5ee01', timestamp(1, 1500)],
];
for (const [name, hex, written] of BYTES)
  test(`writes ${name}`, (t) => {
    // 500 ms are 500,000,000 ns
    const wanted =
      name === 'a time' ? message(bytes(1, message(number(1, 1), number(2, 500_000_000)))).toString('hex') : hex;
    t.is(written!.toString('hex'), wanted);
  });

const HOSTILE: [name: string, hex: string, message: RegExp][] = [
  ['a tag that is cut off', '80', /ends within a number/],
  ['a number that is cut off', '0896', /ends within a number/],
  ['a number of eleven bytes', `08${'ff'.repeat(10)}01`, /more than 64 bits/],
  ['a length behind the end', '0a05616263', /ends within a field/],
  ['a length of 2^63', `0a${'ff'.repeat(8)}7f`, /ends within a field/],
  ['a fixed number that is cut off', '0900000000', /ends within a field/],
  ['field 0', '0001', /without a number/],
  ['a field number of 32 bits', '8080808040', /without a number/],
  ['a group', '0b0c', /type 3/],
  ['type 7', '0f', /type 7/],
];
for (const [name, hex, wanted] of HOSTILE)
  test(`refuses ${name}`, (t) => {
    const error = t.throws(() => new Fields(Buffer.from(hex, 'hex')), { instanceOf: HuskError, message: wanted });
    t.is(error!.kind, 'corrupt');
  });

test('a field in another form than it is asked for is refused', (t) => {
  t.throws(() => new Fields(number(1, 5)!).text(1), { instanceOf: HuskError, message: /another form/ });
  t.throws(() => new Fields(text(1, 'x')!).integer(1), { instanceOf: HuskError, message: /another form/ });
});

test('fields are counted', (t) => {
  const many = Buffer.concat(Array.from({ length: 100_001 }, () => Buffer.from('0801', 'hex')));
  t.is(t.throws(() => new Fields(many), { instanceOf: HuskError })!.kind, 'limit');
});

test('a map may have any key', (t) => {
  const found = new Fields(map(1, [['__proto__', 'x']])).textMap(1);
  t.is(found.get('__proto__'), 'x');
});

const KNOWN = message(
  text(1, 'ref'),
  text(5, 'session'),
  text(6, 'dockerfile.v0'),
  map(7, [['filename', 'Dockerfile']]),
  bytes(8, message(bytes(5, message(text(1, 'registry'), map(2, [['ref', 'x']]))))),
  bytes(13, message(text(1, 'moby'), map(2, [['name', 'a:b']]))),
);

test(`bytes of any kind are read or refused, in bounded time (seed ${SEED})`, (t) => {
  const next = random(SEED);
  const below = (most: number) => Math.floor(next() * most);
  const end = Date.now() + SECONDS * 1000;
  let count = 0;
  let refused = 0;
  while (Date.now() < end) {
    const mutated = Buffer.from(KNOWN);
    for (let change = below(5); change >= 0; change--) mutated[below(mutated.length)] = below(256);
    const input =
      below(4) === 0
        ? Buffer.from(Array.from({ length: below(64) }, () => below(256)))
        : mutated.subarray(0, below(mutated.length + 1));
    for (const read of [readSolve, readBridgeSolve, readReturn, readPrune]) {
      const began = process.cpuUsage().user;
      try {
        read(input);
      } catch (error) {
        if (!(error instanceof HuskError)) throw error;
        refused++;
      }
      if (process.cpuUsage().user - began > 1_500_000) t.fail(`slow: ${input.toString('hex')}`);
    }
    count++;
  }
  t.true(count > 10 && refused > 0);
});

test('what buildx sends is read', (t) => {
  const solve = readSolve(KNOWN);
  t.is(solve.ref, 'ref');
  t.is(solve.attributes.get('filename'), 'Dockerfile');
  t.deepEqual(solve.exporters, [{ type: 'moby', attributes: new Map([['name', 'a:b']]) }]);
  t.deepEqual(solve.cacheImports, [{ type: 'registry', attributes: new Map([['ref', 'x']]) }]);
  t.false(solve.hasDefinition);
});

test('a client of before the list of exporters is read too', (t) => {
  const { exporters } = readSolve(message(text(3, 'moby'), map(4, [['name', 'a']])));
  t.deepEqual(exporters, [{ type: 'moby', attributes: new Map([['name', 'a']]) }]);
});
