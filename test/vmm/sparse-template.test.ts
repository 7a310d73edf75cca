import {
  closeSync,
  ftruncateSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import test from 'ava';
import { packSparse, unpackSparse } from '../../src/vmm/sparse-template.ts';

const SIZE = 64 << 20;

function folder(t: { teardown(after: () => void): void }): string {
  // a disk with holes, not every tmpfs has them the same way
  const made = mkdtempSync('/var/tmp/husk-sparse-');
  t.teardown(() => rmSync(made, { recursive: true }));
  return made;
}

test('a sparse file comes back, byte for byte and hole for hole', (t) => {
  const at = folder(t);
  const fd = openSync(join(at, 'a'), 'w');
  ftruncateSync(fd, SIZE);
  for (const offset of [0, 4096 * 10 + 5, SIZE - 3]) writeSync(fd, 'xyz', offset);
  closeSync(fd);
  packSparse(join(at, 'a'), join(at, 'packed'));
  t.true(statSync(join(at, 'packed')).size < 64 * 1024);
  unpackSparse(join(at, 'packed'), join(at, 'b'));
  t.is(statSync(join(at, 'b')).size, SIZE);
  t.true(statSync(join(at, 'b')).blocks * 512 < 1 << 20);
  t.true(readFileSync(join(at, 'a')).equals(readFileSync(join(at, 'b'))));
});

const number = (value: bigint) => {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64LE(value);
  return bytes;
};
const head = Buffer.concat([Buffer.from('HUSKSPRS'), number(100n)]);
for (const [what, bytes] of [
  ['empty', Buffer.alloc(0)],
  ['another file', Buffer.from('0123456789abcdef')],
  ['cut within an extent', Buffer.concat([head, number(0n)])],
  ['an extent longer than the template', Buffer.concat([head, number(0n), number(50n), Buffer.alloc(10)])],
  ['an extent beyond the file', Buffer.concat([head, number(96n), number(10n), Buffer.alloc(10)])],
  ['an offset of 2^63', Buffer.concat([head, number(1n << 63n), number(1n), Buffer.alloc(1)])],
] as const)
  test(`a damaged template is refused and leaves nothing: ${what}`, (t) => {
    const at = folder(t);
    writeFileSync(join(at, 'bad'), bytes);
    t.throws(() => unpackSparse(join(at, 'bad'), join(at, 'disk')), { message: /damaged/ });
    t.deepEqual(readdirSync(at), ['bad']);
  });
