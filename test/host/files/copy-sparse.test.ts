/** Copies of files with holes: the same bytes, and no more of the disk than the original has. */
import { spawnSync } from 'node:child_process';
import { ftruncateSync, mkdtempSync, openSync, closeSync, readFileSync, rmSync, statSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import { copyExtents, copySparse, copySparseInTurns } from '../../../src/host/files/copy-sparse.ts';

const MIB = 1 << 20;

for (const [what, extents, size] of [
  ['nothing but a hole', [], 16 * MIB],
  ['an empty file', [], 0],
  ['data at both ends', [0, 15 * MIB], 16 * MIB],
  ['data alone', [0], 3 * MIB],
] as [string, number[], number][])
  test(`a copy of ${what}`, async (t) => {
    const folder = mkdtempSync(join(tmpdir(), 'husk-sparse-'));
    t.teardown(() => rmSync(folder, { recursive: true }));
    const [from, to] = [join(folder, 'from'), join(folder, 'to')];
    const fd = openSync(from, 'w');
    ftruncateSync(fd, size);
    for (const at of extents) writeSync(fd, Buffer.alloc(Math.min(MIB, size - at), 'x'), 0, undefined, at);
    closeSync(fd);
    copySparse(from, to);
    t.is(Buffer.compare(readFileSync(to), readFileSync(from)), 0);
    t.true(statSync(to).blocks <= statSync(from).blocks + 8, `${statSync(to).blocks} ${statSync(from).blocks}`);
    t.is(statSync(to).mode & 0o777, 0o600);
    t.throws(() => copySparse(from, to), { code: 'EEXIST' });
    await copySparseInTurns(from, join(folder, 'slowly'));
    t.is(Buffer.compare(readFileSync(join(folder, 'slowly')), readFileSync(from)), 0);
    t.true(statSync(join(folder, 'slowly')).blocks <= statSync(from).blocks + 8);
    await t.throwsAsync(copySparseInTurns(from, to), { code: 'EEXIST' });
  });

test('a file that is written while it is copied: what was written is copied once more, holes as well', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'husk-sparse-'));
  t.teardown(() => rmSync(folder, { recursive: true }));
  const [from, to] = [join(folder, 'from'), join(folder, 'to')];
  const fd = openSync(from, 'w+');
  t.teardown(() => closeSync(fd));
  ftruncateSync(fd, 64 * MIB);
  writeSync(fd, Buffer.alloc(32 * MIB, 'x'));
  let turns = 0;
  const others = setInterval(() => turns++, 0);
  const copying = copySparseInTurns(from, to);
  writeSync(fd, Buffer.alloc(MIB, 'y'), 0, MIB, 0);
  writeSync(fd, Buffer.alloc(MIB, 'z'), 0, MIB, 40 * MIB);
  spawnSync('fallocate', ['--punch-hole', '-o', `${2 * MIB}`, '-l', `${MIB}`, from]);
  await copying;
  clearInterval(others);
  t.true(turns > 0);
  copyExtents(
    from,
    to,
    [0, 2, 40].map((at) => ({ offset: at * MIB, length: MIB })),
  );
  t.is(Buffer.compare(readFileSync(to), readFileSync(from)), 0);
});
