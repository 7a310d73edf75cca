/** Memory for a guest out of a snapshot's file: it has the file's data and is nobody else's. */
import { closeSync, ftruncateSync, mkdtempSync, openSync, readFileSync, rmSync, statSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import test from 'ava';
import { RamMapping } from '../../../src/host/memory/ram-mapping.ts';
import { GuestMemory } from '../../../src/vmm/memory/guest-memory.ts';
import { writeMemory } from '../../../src/vmm/snapshot/memory-file.ts';

const MIB = 1 << 20;
const PAGE = 4096;
const SIZE = 16 * MIB;
/** where the file has data, and holes between; two are close together, one is not whole pages, one is the last */
const DATA = [PAGE, 3 * PAGE, 5 * MIB + 100, 9 * MIB, SIZE - 4];
const WORD = Buffer.from('here');

/** a tmpfs: its files' blocks are pages of memory, which can be counted */
const FOLDER = '/dev/shm';

test('the file is seen where it has data, and is neither changed nor made larger by what the guest writes', (t) => {
  const folder = mkdtempSync(join(FOLDER, 'husk-ram-'));
  t.teardown(() => rmSync(folder, { recursive: true, force: true }));
  const path = join(folder, 'memory');
  const fd = openSync(path, 'wx+');
  t.teardown(() => closeSync(fd));
  ftruncateSync(fd, SIZE);
  for (const at of DATA) writeSync(fd, WORD, 0, WORD.length, at);
  const { blocks } = statSync(path);

  using memory = new RamMapping(SIZE);
  memory.fill(fd);
  const bytes = Buffer.from(memory.buffer, memory.offset, SIZE);
  for (const at of DATA) t.is(bytes.toString('latin1', at, at + WORD.length), 'here', String(at));
  t.is(
    bytes.reduce((count, byte) => count + (byte === 0 ? 0 : 1), 0),
    DATA.length * WORD.length,
  );
  bytes.fill(0xa5);
  // The pages with data are in the page cache already, and no other is made.
  t.is(statSync(path).blocks, blocks);

  // what is given back is the file's again, or zero
  memory.discard(0, SIZE);
  for (const at of DATA) t.is(bytes.toString('latin1', at, at + WORD.length), 'here', String(at));
  t.is(bytes[2 * MIB], 0);
});

test('a file with more holes than a process can have mappings is mapped all the same', (t) => {
  const folder = mkdtempSync(join(FOLDER, 'husk-ram-'));
  t.teardown(() => rmSync(folder, { recursive: true, force: true }));
  const fd = openSync(join(folder, 'memory'), 'wx+');
  t.teardown(() => closeSync(fd));
  const [count, each] = [70_000, 2 * PAGE];
  ftruncateSync(fd, count * each);
  for (let i = 0; i < count; i++) writeSync(fd, WORD, 0, WORD.length, i * each);
  using memory = new RamMapping(count * each);
  memory.fill(fd);
  const bytes = Buffer.from(memory.buffer, memory.offset, count * each);
  for (let i = 0; i < count; i += 999) t.is(bytes.toString('latin1', i * each, i * each + WORD.length), 'here');
  t.is(bytes[each - 1], 0);
});

test('a file without data is memory without data', (t) => {
  const folder = mkdtempSync(join(FOLDER, 'husk-ram-'));
  t.teardown(() => rmSync(folder, { recursive: true, force: true }));
  const fd = openSync(join(folder, 'memory'), 'wx+');
  t.teardown(() => closeSync(fd));
  ftruncateSync(fd, SIZE);
  using memory = new RamMapping(SIZE);
  memory.fill(fd);
  t.true(Buffer.from(memory.buffer, memory.offset, SIZE).every((byte) => byte === 0));
});

/** @returns KiB of anonymous memory in the range, as the kernel counts it */
function ownMemory({ address, length }: RamMapping): number {
  let [inside, sum] = [false, 0];
  for (const line of readFileSync('/proc/self/smaps', 'latin1').split('\n')) {
    const range = /^([0-9a-f]+)-([0-9a-f]+) /.exec(line);
    if (range) inside = Number(`0x${range[1]}`) >= address && Number(`0x${range[2]}`) <= address + length;
    const anonymous = /^Anonymous: +(\d+) kB/.exec(line);
    if (inside && anonymous) sum += Number(anonymous[1]);
  }
  return sum;
}

test('memory that moves into a file reads as before, takes none of its own, and is not seen in the file again', (t) => {
  const folder = mkdtempSync('/var/tmp/husk-ram-');
  t.teardown(() => rmSync(folder, { recursive: true, force: true }));
  const path = join(folder, 'memory');
  using memory = GuestMemory.allocate(SIZE);
  using mapping = new RamMapping(SIZE);
  const bytes = Buffer.from(mapping.buffer, mapping.offset, SIZE);
  bytes.fill(1, 0, MIB);
  bytes.fill(0, 4 * MIB, 8 * MIB); // pages of zeroes that are there
  for (const at of DATA) WORD.copy(bytes, at);
  const before = Buffer.from(bytes);
  memory.write(0, bytes);
  t.true(ownMemory(mapping) >= 5 * 1024);

  writeMemory(memory, path);
  const fd = openSync(path, 'r');
  mapping.moveInto(fd);
  closeSync(fd);
  rmSync(path);
  t.is(ownMemory(mapping), 0);
  t.is(Buffer.compare(bytes, before), 0);
  // Some kernels give a page of its own to whoever reads where nothing is.
  const read = ownMemory(mapping);
  bytes.fill(7, 0, MIB);
  t.is(ownMemory(mapping) - read, 1024);

  // and once more, from what it is by now
  writeMemory(memory, path);
  memory.moveInto(path);
  t.is(Buffer.compare(memory.copy(0, SIZE), before), 0);
  memory.write(2 * PAGE, WORD);
  t.is(Buffer.compare(readFileSync(path), before), 0);
});
