/** Facts of inodes are those that lstat gives, and notice every change. */
import {
  chmodSync,
  closeSync,
  ftruncateSync,
  linkSync,
  lstatSync,
  openSync,
  symlinkSync,
  unlinkSync,
  utimesSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import test from 'ava';
import { FactsTable, IDENTITY_WORDS, KnownInodes } from '../../../src/host/files/facts.ts';
import { temporaryFolder } from '../../fixtures/temporary.ts';

const folder = temporaryFolder('husk-facts-');
const at = (name: string) => join(folder, name);
const fd = openSync(folder, 'r');

writeFileSync(at('plain'), 'text', { mode: 0o640 });
writeFileSync(at('old'), 'x');
utimesSync(at('old'), -5.5, -5.5);
writeFileSync(at('late'), 'x');
utimesSync(at('late'), 1e10, 1e10);
symlinkSync('nowhere', at('link'));
linkSync(at('plain'), at('other name'));
const large = openSync(at('large'), 'w');
writeSync(large, 'x', 5e9);
ftruncateSync(large, 6e9);
closeSync(large);
writeFileSync(Buffer.from(`${folder}/f\xff`, 'latin1'), 'x');
chmodSync(at('old'), 0o4751);

for (const name of ['plain', 'old', 'late', 'link', 'large', 'f\xff', '.'])
  test(`${JSON.stringify(name)} as lstat has it`, (t) => {
    const facts = new FactsTable();
    const row = facts.add(fd, name)!;
    const stat = lstatSync(Buffer.from(`${folder}/${name}`, 'latin1'), { bigint: true });
    t.is(facts.mode(row), Number(stat.mode));
    t.is(facts.size(row), Number(stat.size));
    t.is(facts.blocks(row), Number(stat.blocks));
    t.is(facts.nlink(row), Number(stat.nlink));
    t.is(
      facts.mtime(row),
      Number((stat.mtimeNs - (((stat.mtimeNs % 1_000_000_000n) + 1_000_000_000n) % 1_000_000_000n)) / 1_000_000_000n),
    );
    const newest = stat.mtimeNs > stat.ctimeNs ? stat.mtimeNs : stat.ctimeNs;
    t.true(Math.abs(facts.newest(row) - Number(newest) / 1e6) < 0.01);
  });

test('a name that is not there has no row, and a folder that is none is an error', (t) => {
  const facts = new FactsTable();
  t.is(facts.add(fd, 'none'), undefined);
  t.throws(() => facts.add(fd, 'plain/x'), { message: /ENOTDIR/ });
});

test('two names of an inode share what two inodes do not', (t) => {
  const facts = new FactsTable();
  const [plain, other, old] = ['plain', 'other name', 'old'].map((name) => facts.inode(facts.add(fd, name)!));
  t.is(plain, other);
  t.not(plain, old);
});

function identityOf(facts: FactsTable, row: number): Uint32Array {
  const identity = new Uint32Array(IDENTITY_WORDS);
  facts.copyIdentity(row, identity, 0);
  return identity;
}

test('very many rows stay what they were', (t) => {
  const facts = new FactsTable();
  const names = ['plain', 'old', 'large'];
  const rows = Array.from({ length: 1000 }, (_, each) => facts.add(fd, names[each % 3]!)!);
  for (const [each, row] of rows.entries()) {
    t.is(row, each);
    const identity = identityOf(facts, row);
    t.deepEqual(identity, identityOf(facts, each % 3));
    t.true(facts.isIdentity(row, Uint32Array.of(7, ...identity), 1));
  }
  t.notDeepEqual(identityOf(facts, 0), identityOf(facts, 1));
});

test('every change of an inode is noticed', (t) => {
  const changes: [name: string, change: (file: string) => void][] = [
    ['mode', (file) => chmodSync(file, 0o600)],
    ['time', (file) => utimesSync(file, 1, 1)],
    ['size', (file) => writeFileSync(file, 'longer')],
    ['bytes', (file) => writeFileSync(file, 'same')],
  ];
  for (const [name, change] of changes) {
    const facts = new FactsTable();
    writeFileSync(at(name), 'text');
    using file = { fd: openSync(at(name), 'r'), [Symbol.dispose]: () => closeSync(file.fd) };
    const row = facts.add(fd, name)!;
    t.true(facts.isStill(row, file.fd));
    // The clock of the file system ticks.
    const before = lstatSync(at(name), { bigint: true }).ctimeNs;
    do change(at(name));
    while (lstatSync(at(name), { bigint: true }).ctimeNs === before);
    t.false(facts.isStill(row, file.fd), name);
  }
});

/** KnownInodes of names in the folder as they are now. */
function knownInodes(
  names: readonly string[],
  bytes = Buffer.from(names.map((name) => `${name}\0`).join(''), 'latin1'),
) {
  const facts = new FactsTable();
  const identities = new Uint32Array(names.length * IDENTITY_WORDS);
  for (const [at, name] of names.entries()) facts.copyIdentity(facts.add(fd, name)!, identities, at * IDENTITY_WORDS);
  return new KnownInodes(
    Uint8Array.from(names, ({ length }) => length),
    bytes,
    identities,
  );
}

test('inodes that are as they were', (t) => {
  const known = knownInodes(['plain', 'old', 'late', 'link', 'large', 'f\xff', '.']);
  t.true(known.areStill(fd, 3));
  t.true(known.areStill(fd, 4));
  t.throws(() => known.areStill(fd, 1), { instanceOf: RangeError });
});

test('each number of an identity counts', (t) => {
  const facts = new FactsTable();
  for (let at = 0; at < IDENTITY_WORDS; at++) {
    const identity = new Uint32Array(IDENTITY_WORDS);
    facts.copyIdentity(facts.add(fd, 'plain')!, identity, 0);
    identity[at]! ^= 1;
    t.false(new KnownInodes(Uint8Array.of(5), Buffer.from('plain\0'), identity).areStill(fd, 1), `${at}`);
  }
});

test('a name that is gone, and names that do not end where they are said to, are not as they were', (t) => {
  writeFileSync(at('gone'), 'x');
  const known = knownInodes(['gone']);
  unlinkSync(at('gone'));
  t.false(known.areStill(fd, 1));
  for (const bytes of ['', 'plai\0', 'plain', 'plain other\0'])
    t.is(knownInodes(['plain'], Buffer.from(bytes)).areStill(fd, 1), bytes === 'plain', JSON.stringify(bytes));
  t.false(knownInodes(['plain', 'old'], Buffer.from('plain\0')).areStill(fd, 2));
});
