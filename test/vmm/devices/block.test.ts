/** The block device over real files, against a driver in memory. */
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import test, { type ExecutionContext } from 'ava';
import { Backing } from '../../../src/vmm/devices/block/backing.ts';
import {
  MAX_REQUEST_BYTES,
  S_IOERR,
  S_OK,
  S_UNSUPP,
  SECTOR,
  T_DISCARD,
  T_FLUSH,
  T_GET_ID,
  T_IN,
  T_OUT,
  T_WRITE_ZEROES,
} from '../../../src/vmm/devices/block/config.ts';
import { Block } from '../../../src/vmm/devices/block/device.ts';
import { DATA, Driver } from '../driver.ts';

const HEADER = DATA;
const STATUS = DATA + 0x100;
const BODY = DATA + 0x1000;

function folder(t: ExecutionContext): string {
  const path = mkdtempSync(join(tmpdir(), 'husk-block-'));
  t.teardown(() => rmSync(path, { recursive: true, force: true }));
  return path;
}

/** @param sizes bytes of the parts, filled with a pattern */
function disk(t: ExecutionContext, sizes: number[], options: { readOnly?: boolean } = {}) {
  const base = folder(t);
  const contents = sizes.map((size, i) =>
    Buffer.from(Array.from({ length: size }, (_, at) => (at * 7 + i * 101) & 0xff)),
  );
  const paths = contents.map((bytes, i) => {
    const path = join(base, `part${i}`);
    writeFileSync(path, bytes);
    return path;
  });
  const backing = new Backing(
    paths.map((path, i) => ({ path, offset: 0, length: sizes[i]! })),
    { readOnly: options.readOnly ?? false },
  );
  const driver = new Driver(new Block(backing, { serial: 'husk-test' }), { queueSize: 16 }).start();
  t.teardown(() => driver[Symbol.dispose]());
  return { driver, paths, whole: Buffer.concat(contents) };
}

/** One request; the status is 0xff when the device did not answer. */
function request(
  driver: Driver,
  type: number,
  sector: number,
  body: { length: number; write?: boolean }[] = [],
): { status: number; written: number | undefined } {
  driver.memory.writeU32(HEADER, type);
  driver.memory.writeU32(HEADER + 4, 0);
  driver.memory.writeU32(HEADER + 8, sector % 2 ** 32);
  driver.memory.writeU32(HEADER + 12, Math.floor(sector / 2 ** 32));
  driver.memory.write(STATUS, Uint8Array.of(0xff));
  let at = BODY;
  const buffers = body.map(({ length, write }) => {
    const buffer = { address: at, length, write };
    at += length;
    return buffer;
  });
  const done = driver.request(0, [
    { address: HEADER, length: 16 },
    ...buffers,
    { address: STATUS, length: 1, write: true },
  ]);
  return { status: driver.memory.copy(STATUS, 1)[0]!, written: done?.written };
}

test('what is written, zeroed or discarded is noted from a moment on', (t) => {
  const { driver } = disk(t, [4 << 20]);
  const mib = (1 << 20) / SECTOR;
  const block = driver.transport.device as Block;
  request(driver, T_OUT, 0, [{ length: SECTOR }]);
  {
    using written = block.noteWrites();
    t.deepEqual([...written.ranges()], []);
    request(driver, T_IN, 0, [{ length: SECTOR, write: true }]);
    request(driver, T_OUT, 2 * mib, [{ length: SECTOR }]);
    t.deepEqual([...written.ranges()], [{ offset: 2 << 20, length: 1 << 20 }]);
  }
  using again = block.noteWrites();
  t.deepEqual([...again.ranges()], []);
});

test('reads across parts that begin anywhere', (t) => {
  const { driver, whole } = disk(t, [700, 1, 5000, 513, 2050], { readOnly: true });
  const size = Math.ceil(whole.length / SECTOR) * SECTOR;
  t.deepEqual(
    request(driver, T_IN, 0, [
      { length: 100, write: true },
      { length: size - 100, write: true },
    ]),
    { status: S_OK, written: size + 1 },
  );
  t.deepEqual(Buffer.from(driver.memory.copy(BODY, size)), Buffer.concat([whole, Buffer.alloc(size - whole.length)]));
  request(driver, T_IN, 3, [{ length: 512, write: true }]);
  t.deepEqual(Buffer.from(driver.memory.copy(BODY, 512)), whole.subarray(1536, 2048));
});

test('a file shorter than its part reads as zeroes', (t) => {
  const path = join(folder(t), 'short');
  writeFileSync(path, Buffer.alloc(100, 9));
  const driver = new Driver(
    new Block(new Backing([{ path, offset: 0, length: 1024 }], { readOnly: true }), { serial: '' }),
  ).start();
  t.teardown(() => driver[Symbol.dispose]());
  driver.memory.write(BODY, Buffer.alloc(1024, 0xee));
  t.is(request(driver, T_IN, 0, [{ length: 1024, write: true }]).status, S_OK);
  t.deepEqual(Buffer.from(driver.memory.copy(BODY, 1024)), Buffer.concat([Buffer.alloc(100, 9), Buffer.alloc(924)]));
});

test('writes, discards and zeroes', (t) => {
  const { driver, paths } = disk(t, [64 * 1024]);
  driver.memory.write(BODY, Buffer.alloc(8192, 0xab));
  t.is(request(driver, T_OUT, 8, [{ length: 4096 }, { length: 4096 }]).status, S_OK);
  t.true(
    readFileSync(paths[0]!)
      .subarray(4096, 12288)
      .every((byte) => byte === 0xab),
  );
  for (const [type, flags] of [
    [T_WRITE_ZEROES, 0],
    [T_DISCARD, 0],
    [T_WRITE_ZEROES, 1],
  ] as const) {
    driver.memory.write(BODY, Buffer.alloc(8192, 0xab));
    request(driver, T_OUT, 8, [{ length: 8192 }]);
    driver.memory.writeU32(BODY, 8);
    driver.memory.writeU32(BODY + 4, 0);
    driver.memory.writeU32(BODY + 8, 16);
    driver.memory.writeU32(BODY + 12, flags);
    t.is(request(driver, type, 0, [{ length: 16 }]).status, S_OK);
    t.true(
      readFileSync(paths[0]!)
        .subarray(4096, 12288)
        .every((byte) => byte === 0),
    );
    t.is(statSync(paths[0]!).size, 64 * 1024);
  }
});

test('flush answers later, and not at all after a reset', async (t) => {
  const { driver } = disk(t, [4096]);
  t.is(request(driver, T_FLUSH, 0).status, 0xff);
  // a loaded disk takes its time
  for (let i = 0; i < 6000 && driver.memory.copy(STATUS, 1)[0] === 0xff; i++) await sleep(10);
  t.is(driver.memory.copy(STATUS, 1)[0], S_OK);
  t.is(driver.completed(0).length, 1);
  request(driver, T_FLUSH, 0);
  driver.start();
  driver.memory.write(STATUS, Uint8Array.of(0x55));
  await sleep(200);
  t.is(driver.memory.copy(STATUS, 1)[0], 0x55);
  t.deepEqual(driver.completed(0), []);
});

test('the id is twenty bytes', (t) => {
  const { driver } = disk(t, [4096]);
  t.deepEqual(request(driver, T_GET_ID, 0, [{ length: 20, write: true }]), { status: S_OK, written: 21 });
  t.is(Buffer.from(driver.memory.copy(BODY, 20)).toString('latin1'), 'husk-test'.padEnd(20, '\0'));
});

for (const [name, type, sector, body, status, readOnly] of [
  ['a read beyond the end', T_IN, 8, [{ length: 512, write: true }], S_IOERR, false],
  ['a read across the end', T_IN, 7, [{ length: 1024, write: true }], S_IOERR, false],
  ['a read at a sector that wraps', T_IN, 2 ** 63, [{ length: 512, write: true }], S_IOERR, false],
  ['a read at the largest sector', T_IN, 2 ** 64 - 2048, [{ length: 512, write: true }], S_IOERR, false],
  ['a read of half a sector', T_IN, 0, [{ length: 100, write: true }], S_IOERR, false],
  ['a write of half a sector', T_OUT, 0, [{ length: 100 }], S_IOERR, false],
  ['a write beyond the end', T_OUT, 8, [{ length: 512 }], S_IOERR, false],
  ['a write to a read-only disk', T_OUT, 0, [{ length: 512 }], S_IOERR, true],
  ['a flush of a read-only disk', T_FLUSH, 0, [], S_UNSUPP, true],
  ['a discard of a read-only disk', T_DISCARD, 0, [{ length: 16 }], S_UNSUPP, true],
  ['a type that does not exist', 99, 0, [], S_UNSUPP, false],
  ['a discard without ranges', T_DISCARD, 0, [], S_IOERR, false],
  ['a discard of half a range', T_DISCARD, 0, [{ length: 8 }], S_IOERR, false],
  ['too many ranges', T_DISCARD, 0, [{ length: 17 * 16 }], S_IOERR, false],
  ['an id into too little', T_GET_ID, 0, [{ length: 5, write: true }], S_IOERR, false],
  [
    'a read larger than any honest one',
    T_IN,
    0,
    Array.from({ length: 10 }, () => ({ length: MAX_REQUEST_BYTES / 8, write: true })),
    S_IOERR,
    false,
  ],
] as const) {
  test(`${name} is refused`, (t) => {
    const { driver, paths, whole } = disk(t, [4096], { readOnly });
    if (name.startsWith('a read larger')) {
      // ten times the same buffer: more bytes than there is RAM
      driver.memory.writeU32(HEADER, T_IN);
      driver.chain(0, 0, [
        { address: HEADER, length: 16 },
        ...Array.from({ length: 10 }, () => ({ address: BODY, length: MAX_REQUEST_BYTES / 8, write: true })),
        { address: STATUS, length: 1, write: true },
      ]);
      driver.offer(0, 0);
      t.is(driver.memory.copy(STATUS, 1)[0], S_IOERR);
    } else t.is(request(driver, type, sector, body.slice()).status, status);
    t.deepEqual(readFileSync(paths[0]!), whole);
    t.false(driver.needsReset);
  });
}

test('a request that cannot be answered fails the device', (t) => {
  const { driver } = disk(t, [4096]);
  driver.request(0, [
    { address: HEADER, length: 8 },
    { address: STATUS, length: 1, write: true },
  ]);
  t.true(driver.needsReset);
  driver.start();
  driver.request(0, [{ address: HEADER, length: 16 }]);
  t.true(driver.needsReset);
});

test('a discard with flags it must not have changes nothing', (t) => {
  const { driver, paths, whole } = disk(t, [4096]);
  driver.memory.writeU32(BODY + 8, 8);
  driver.memory.writeU32(BODY + 12, 1);
  t.is(request(driver, T_DISCARD, 0, [{ length: 16 }]).status, S_UNSUPP);
  t.deepEqual(readFileSync(paths[0]!), whole);
});
