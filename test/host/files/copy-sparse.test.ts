/** Copies of files with holes: the same bytes, and no more of the disk than the original has. */
import { ftruncateSync, mkdtempSync, openSync, closeSync, readFileSync, rmSync, statSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import { copySparse } from '../../../src/host/files/copy-sparse.ts';

const MIB = 1 << 20;

for (const [what, extents, size] of [
  ['nothing but a hole', [], 16 * MIB],
  ['an empty file', [], 0],
  ['data at both ends', [0, 15 * MIB], 16 * MIB],
  ['data alone', [0], 3 * MIB],
] as [string, number[], number][])
  test(`a copy of ${what}`, (t) => {
    const folder = mkdtempSync(join(tmpdir(), 'husk-sparse-'));
    t.teardown(() => rmSync(folder, { recursive: true }));
    const [from, to] = [join(folder, 'from'), join(folder, 'to')];
    const fd = openSync(from, 'w');
    ftruncateSync(fd, size);
    for (const at of extents) writeSync(fd, Buffer.alloc(Math.min(MIB, size - at), 'x'), 0, undefined, at);
    closeSync(fd);
    copySparse(from, to);
    t.deepEqual(readFileSync(to), readFileSync(from));
    t.true(statSync(to).blocks <= statSync(from).blocks + 8, `${statSync(to).blocks} ${statSync(from).blocks}`);
    t.is(statSync(to).mode & 0o777, 0o600);
    t.throws(() => copySparse(from, to), { code: 'EEXIST' });
  });
