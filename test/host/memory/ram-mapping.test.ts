/** Memory for a guest out of a snapshot's file: it has the file's data and is nobody else's. */
import { closeSync, ftruncateSync, mkdtempSync, openSync, rmSync, statSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import test from 'ava';
import { RamMapping } from '../../../src/host/memory/ram-mapping.ts';

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
