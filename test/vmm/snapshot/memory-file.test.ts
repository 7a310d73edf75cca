/** RAM that changes while it is written: the file is what the RAM is at the end. */
import { mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import test from 'ava';
import { GuestMemory } from '../../../src/vmm/memory/guest-memory.ts';
import { MemoryFile } from '../../../src/vmm/snapshot/memory-file.ts';

const MIB = 1 << 20;
const SIZE = 16 * MIB;
const PIECE = 64 * 1024;

const CHANGES: [what: string, change: (memory: GuestMemory) => void, pieces: number][] = [
  ['nothing', () => {}, 0],
  ['a byte of what was written', (memory) => memory.write(MIB, Buffer.from('X')), 1],
  ['the last byte', (memory) => memory.write(SIZE - 1, Buffer.from('X')), 1],
  ['a byte where it was zero', (memory) => memory.write(8 * MIB + 100, Buffer.from('X')), 1],
  ['what becomes zero', (memory) => memory.write(MIB, new Uint8Array(MIB)), MIB / PIECE],
  ['across an edge', (memory) => memory.write(2 * MIB + PIECE - 2, Buffer.from('XXXX')), 2],
  ['the same again', (memory) => memory.write(2 * MIB, memory.copy(2 * MIB, MIB)), 0],
];
for (const [what, change, pieces] of CHANGES)
  test(`while it is written changes: ${what}`, async (t) => {
    const folder = mkdtempSync('/var/tmp/husk-memory-file-');
    t.teardown(() => rmSync(folder, { recursive: true }));
    const path = join(folder, 'memory');
    using memory = GuestMemory.allocate(SIZE);
    memory.write(MIB, Buffer.alloc(2 * MIB, 'data'));
    memory.write(SIZE - PIECE, Buffer.alloc(PIECE, 'end'));
    using file = new MemoryFile(memory, path);
    await file.begin();
    const { blocks } = statSync(path);
    change(memory);
    t.is(file.finish(), pieces);
    t.is(Buffer.compare(readFileSync(path), memory.copy(0, SIZE)), 0);
    t.true(statSync(path).blocks <= blocks + 2 * (PIECE / 512), 'holes stay');
  });

test('others have their turns while it is written', async (t) => {
  const folder = mkdtempSync('/var/tmp/husk-memory-file-');
  t.teardown(() => rmSync(folder, { recursive: true }));
  using memory = GuestMemory.allocate(SIZE);
  using file = new MemoryFile(memory, join(folder, 'memory'));
  let [turns, isOver] = [0, false];
  const count = (): void => {
    if (isOver) return;
    turns++;
    memory.write(SIZE - 8, Buffer.from([turns]));
    setImmediate(count);
  };
  setImmediate(count);
  await file.begin();
  isOver = true;
  t.true(turns >= 3, String(turns));
  file.finish();
  t.is(Buffer.compare(readFileSync(join(folder, 'memory')), memory.copy(0, SIZE)), 0);
});
