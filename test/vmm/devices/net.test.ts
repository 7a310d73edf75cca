/**
 * The network device on a link, against a driver in memory: frames, their bounds, back-pressure, and a link
 * that goes.
 */
import { setImmediate as turn } from 'node:timers/promises';
import test, { type ExecutionContext } from 'ava';
import { packetPair } from '../../../src/host/streams/packet-fd.ts';
import { completeChecksum, internetSum } from '../../../src/vmm/devices/net/checksum.ts';
import { F_MRG_RXBUF, HEADER_SIZE, RECEIVE_QUEUE, TRANSMIT_QUEUE } from '../../../src/vmm/devices/net/config.ts';
import { Net } from '../../../src/vmm/devices/net/device.ts';
import { PacketLink } from '../../../src/vmm/devices/net/link.ts';
import { DATA, Driver, EVERY_FRAME } from '../driver.ts';

const MAC = Uint8Array.of(2, 0, 0, 0, 0, 1);
/** bytes between two buffers of the driver's */
const STRIDE = 0x20000;
/** offset of struct virtio_net_config's status in the device page: configuration space at 0x100, §4.2.2 */
const STATUS = 0x106;

function start(
  t: ExecutionContext,
  options: { mtu?: number; without?: bigint; queueSize?: number; eventIndex?: boolean } = {},
) {
  const [ours, theirs] = packetPair();
  const link = new PacketLink(theirs.number);
  const driver = new Driver(new Net(link, { mac: MAC, mtu: options.mtu ?? 65_520, filter: EVERY_FRAME }), {
    queueSize: options.queueSize ?? 8,
  }).start(options);
  t.teardown(() => {
    driver[Symbol.dispose]();
    ours.close();
    theirs.close();
  });
  return { driver, ours, other: new PacketLink(ours.number) };
}

const pattern = (length: number, seed = 0) => Uint8Array.from({ length }, (_, i) => (i * 7 + seed) & 0xff);

/** Until `done` says so, or a minute has passed. */
async function until(done: () => boolean): Promise<boolean> {
  for (const end = performance.now() + 60_000; performance.now() < end; await turn()) if (done()) return true;
  return done();
}

function send(driver: Driver, frame: Uint8Array, head = 0, header: Uint8Array = new Uint8Array(HEADER_SIZE)): void {
  const at = DATA + head * STRIDE;
  driver.memory.write(at, header);
  driver.memory.write(at + HEADER_SIZE, frame);
  driver.chain(TRANSMIT_QUEUE, head, [{ address: at, length: HEADER_SIZE + frame.length }]);
  driver.offer(TRANSMIT_QUEUE, head);
}

/** Offers buffers of these lengths, one descriptor each. */
function offer(driver: Driver, lengths: number[], first = 0): void {
  for (const [i, length] of lengths.entries())
    driver.chain(RECEIVE_QUEUE, first + i, [{ address: DATA + (first + i) * STRIDE, length, write: true }]);
  driver.offer(RECEIVE_QUEUE, ...lengths.map((_, i) => first + i));
}

/** What the driver was given, put together: header and frame. */
function received(driver: Driver, used: { head: number; written: number }[]): { buffers: number; frame: Buffer } {
  const bytes = Buffer.concat(used.map(({ head, written }) => driver.memory.copy(DATA + head * STRIDE, written)));
  return { buffers: bytes.readUInt16LE(10), frame: bytes.subarray(HEADER_SIZE) };
}

function give(other: PacketLink, frame: Uint8Array): void {
  other.room(frame.length).set(frame);
  other.send();
}

for (const length of [1, 60, 1514, 65_534])
  test.serial(`a frame of ${length} bytes both ways`, async (t) => {
    const { driver, other } = start(t);
    send(driver, pattern(length));
    t.true(await until(() => other.peek() !== undefined));
    t.deepEqual(Buffer.from(other.peek()!), Buffer.from(pattern(length)));
    offer(driver, [HEADER_SIZE + length]);
    give(other, pattern(length, 3));
    let used: { head: number; written: number }[] = [];
    t.true(await until(() => (used = driver.completed(RECEIVE_QUEUE)).length > 0));
    t.deepEqual(received(driver, used), { buffers: 1, frame: Buffer.from(pattern(length, 3)) });
    t.deepEqual(driver.reports, []);
  });

test.serial(`one frame over several buffers, the header split too`, async (t) => {
  const { driver, other } = start(t);
  offer(driver, [5, 5, 500, 600, 600]);
  give(other, pattern(1500));
  let used: { head: number; written: number }[] = [];
  t.true(await until(() => (used = driver.completed(RECEIVE_QUEUE)).length > 0));
  t.deepEqual(
    used.map(({ written }) => written),
    [5, 5, 500, 600, 402],
  );
  t.deepEqual(received(driver, used), { buffers: 5, frame: Buffer.from(pattern(1500)) });
});

for (const eventIndex of [false, true])
  test.serial(`a frame waits for the buffers it needs (event index ${eventIndex})`, async (t) => {
    const { driver, other } = start(t, { eventIndex });
    offer(driver, [600]);
    give(other, pattern(1000));
    for (let i = 0; i < 20; i++) await turn();
    t.deepEqual(driver.completed(RECEIVE_QUEUE), []);
    offer(driver, [600], 1);
    let used: { head: number; written: number }[] = [];
    t.true(await until(() => (used = driver.completed(RECEIVE_QUEUE)).length > 0));
    t.deepEqual(received(driver, used).frame, Buffer.from(pattern(1000)));
  });

test.serial(`a frame that all buffers together cannot hold is lost, the next one comes`, async (t) => {
  const { driver, other } = start(t, { queueSize: 2 });
  offer(driver, [20, 20]);
  give(other, pattern(1000));
  t.true(await until(() => driver.completed(RECEIVE_QUEUE).length === 2));
  offer(driver, [40]);
  give(other, pattern(20));
  let used: { head: number; written: number }[] = [];
  t.true(await until(() => (used = driver.completed(RECEIVE_QUEUE)).length > 0));
  t.deepEqual(received(driver, used).frame, Buffer.from(pattern(20)));
  t.deepEqual(driver.reports, []);
});

test.serial(`without merged buffers a frame is in one buffer or lost`, async (t) => {
  const { driver, other } = start(t, { without: F_MRG_RXBUF });
  offer(driver, [100, 1600]);
  give(other, pattern(1000));
  give(other, pattern(1000, 1));
  const used: { head: number; written: number }[] = [];
  t.true(await until(() => used.push(...driver.completed(RECEIVE_QUEUE)) >= 0 && used.length === 2));
  t.is(used[0]!.written, 0);
  t.deepEqual(received(driver, [used[1]!]).frame, Buffer.from(pattern(1000, 1)));
});

test.serial(`frames over the MTU, and headers without a frame, are dropped`, async (t) => {
  const { driver, other } = start(t, { mtu: 1500 });
  send(driver, pattern(1519), 0);
  send(driver, new Uint8Array(0), 1);
  driver.chain(TRANSMIT_QUEUE, 2, [{ address: DATA, length: 3 }]);
  driver.offer(TRANSMIT_QUEUE, 2);
  send(driver, pattern(1518), 3);
  t.is(driver.completed(TRANSMIT_QUEUE).length, 4);
  t.true(await until(() => other.peek() !== undefined));
  t.is(other.peek()!.length, 1518);
  other.drop();
  t.is(other.peek(), undefined);
  t.deepEqual(driver.reports, []);
});

test.serial(`when the other end goes, the carrier goes`, async (t) => {
  const { driver, ours } = start(t);
  t.is(driver.page[STATUS], 1);
  ours.close();
  t.true(await until(() => driver.page[STATUS] === 0));
  send(driver, pattern(60));
  t.is(driver.completed(TRANSMIT_QUEUE).length, 1);
  t.deepEqual(driver.reports, []);
});

/** struct virtio_net_hdr with NEEDS_CSUM */
const asks = (start: number, offset: number) =>
  Uint8Array.of(1, 0, 0, 0, 0, 0, start & 0xff, start >> 8, offset & 0xff, offset >> 8, 0, 0);

/** RFC 1071, as it is written there */
function slowSum(bytes: Uint8Array): number {
  let sum = 0;
  for (let i = 0; i < bytes.length; i += 2) sum += bytes[i]! * 256 + (bytes[i + 1] ?? 0);
  while (sum > 0xffff) sum = Math.floor(sum / 65_536) + (sum % 65_536);
  return sum;
}

for (const [from, offset, length] of [
  [34, 16, 1514],
  [34, 6, 65_534],
  [35, 6, 1001],
  [0, 0, 2],
  [14, 20, 77],
] as const)
  test.serial(`a checksum from ${from}, at ${offset}, of a frame of ${length} bytes`, async (t) => {
    const { driver, other } = start(t);
    send(driver, pattern(length), 0, asks(from, offset));
    t.true(await until(() => other.peek() !== undefined));
    const frame = other.peek()!;
    const expected = Buffer.from(pattern(length));
    expected.writeUInt16BE(~slowSum(pattern(length).subarray(from)) & 0xffff || 0xffff, from + offset);
    t.deepEqual(Buffer.from(frame), expected);
  });

for (const [from, offset] of [
  [1513, 0],
  [0, 1513],
  [0xffff, 0xffff],
  [0xffff, 0],
] as const)
  test.serial(`a checksum outside of its frame (${from} + ${offset}) loses that frame alone`, async (t) => {
    const { driver, other } = start(t);
    send(driver, pattern(1514), 0, asks(from, offset));
    send(driver, pattern(60), 1);
    t.is(driver.completed(TRANSMIT_QUEUE).length, 2);
    t.true(await until(() => other.peek() !== undefined));
    t.deepEqual(Buffer.from(other.peek()!), Buffer.from(pattern(60)));
    t.deepEqual(driver.reports, []);
  });

test('a sum of zero is sent as ones (RFC 768)', (t) => {
  const frame = Uint8Array.of(0xff, 0xff, 0, 0);
  t.true(completeChecksum(asks(0, 2), frame));
  t.deepEqual([...frame], [0xff, 0xff, 0xff, 0xff]);
});

for (let seed = 0; seed < 50; seed++)
  test(`sums are RFC 1071's (${seed})`, (t) => {
    const bytes = pattern(seed * 37, seed).subarray(seed % 3);
    t.is(internetSum(bytes), slowSum(bytes));
  });
