/** RAM that changes while it is written: the file is what the RAM is at the end. */
import { mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { GuestMemory } from '../../../src/vmm/memory/guest-memory.ts';
import { MemoryFile, writeMemory } from '../../../src/vmm/snapshot/memory-file.ts';

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
function folderOf(t: ExecutionContext): string {
  const folder = mkdtempSync('/var/tmp/husk-memory-file-');
  t.teardown(() => rmSync(folder, { recursive: true }));
  return folder;
}

function filled(memory: GuestMemory): GuestMemory {
  memory.write(MIB, Buffer.alloc(2 * MIB, 'data'));
  memory.write(SIZE - PIECE, Buffer.alloc(PIECE, 'end'));
  return memory;
}

/** Memory as a machine has it that boots, and as one that goes on from a template: nothing of it is its own. */
const KINDS: [kind: string, make: (folder: string) => GuestMemory][] = [
  ['memory of its own', () => filled(GuestMemory.allocate(SIZE))],
  [
    'memory out of a file',
    (folder) => {
      using made = filled(GuestMemory.allocate(SIZE));
      writeMemory(made, join(folder, 'template'));
      const memory = GuestMemory.allocate(SIZE);
      memory.load(join(folder, 'template'));
      return memory;
    },
  ],
  [
    'memory that was moved into a file',
    (folder) => {
      const memory = filled(GuestMemory.allocate(SIZE));
      writeMemory(memory, join(folder, 'swapped'));
      memory.moveInto(join(folder, 'swapped'));
      return memory;
    },
  ],
];

for (const [kind, make] of KINDS)
  for (const [what, change, pieces] of CHANGES)
    test(`${kind}: while it is written changes: ${what}`, async (t) => {
      const folder = folderOf(t);
      const path = join(folder, 'memory');
      using memory = make(folder);
      using file = new MemoryFile(memory, path);
      await file.begin();
      const { blocks } = statSync(path);
      change(memory);
      t.is(file.finish(), pieces);
      t.is(Buffer.compare(readFileSync(path), memory.copy(0, SIZE)), 0);
      t.true(statSync(path).blocks <= blocks + 2 * (PIECE / 512), 'holes stay');
    });

test('pages of its own are those that were written to', (t) => {
  using memory = KINDS[1]![1](folderOf(t));
  const own = () => memory.writtenPieces(PIECE).reduce((sum, piece) => sum + piece, 0);
  t.is(own(), 0);
  memory.copy(0, 3 * MIB);
  const before = own();
  memory.write(MIB, Buffer.from('X'));
  memory.write(SIZE - 1, Buffer.from('X'));
  t.is(own(), before + 2);
  t.is(memory.writtenPieces(PIECE)[MIB / PIECE], 1);
});

test('others have their turns while it is written', async (t) => {
  const folder = folderOf(t);
  using memory = GuestMemory.allocate(SIZE);
  memory.write(0, Buffer.alloc(SIZE, 'full'));
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
