/**
 * The socket device against a guest in memory: streams both ways, credit, half-close, refusals, and a guest that
 * cheats.
 */
import { once } from 'node:events';
import { text } from 'node:stream/consumers';
import { setImmediate as turn } from 'node:timers/promises';
import test from 'ava';
import {
  BUFFER_BYTES,
  GUEST_CID,
  HOST_CID,
  MAX_CONNECTIONS,
  MAX_CONTROL,
  MAX_PIECES,
  RECEIVE_QUEUE,
  TRANSMIT_QUEUE,
} from '../../../src/vmm/devices/vsock/config.ts';
import type { VsockConnection } from '../../../src/vmm/devices/vsock/connection.ts';
import { Vsock } from '../../../src/vmm/devices/vsock/device.ts';
import {
  buildPacket,
  HEADER_SIZE,
  OP,
  parsePacket,
  TYPE_STREAM,
  type Packet,
} from '../../../src/vmm/devices/vsock/packet.ts';
import { DATA, Driver } from '../driver.ts';

const GUEST_PORT = 1111;
const HOST_PORT = 52;
/** of one receive buffer */
const ROOM = 4096;

/** The guest's side: packets in, packets out. */
class Guest implements Disposable {
  readonly device = new Vsock();
  readonly driver: Driver;
  /** what its connection has told us it can take */
  bufferBytes = 64 * 1024;
  forwarded = 0;

  constructor(options: { buffers?: number } = {}) {
    this.driver = new Driver(this.device, { queueSize: 64 }).start();
    for (let i = 0; i < (options.buffers ?? 64); i++) {
      this.driver.chain(RECEIVE_QUEUE, i, [{ address: DATA + i * ROOM, length: ROOM, write: true }]);
      this.driver.offer(RECEIVE_QUEUE, i);
    }
  }

  send(operation: number, options: Partial<Packet> & { data?: Uint8Array } = {}): void {
    const data = options.data ?? new Uint8Array(0);
    const packet = {
      sourceCid: GUEST_CID,
      destinationCid: HOST_CID,
      sourcePort: GUEST_PORT,
      destinationPort: HOST_PORT,
      length: data.length,
      type: TYPE_STREAM,
      operation,
      flags: 0,
      bufferBytes: this.bufferBytes,
      forwarded: this.forwarded,
      ...options,
    };
    const at = DATA + 0x400000;
    this.driver.memory.write(at, buildPacket(packet));
    this.driver.memory.write(at + HEADER_SIZE, data);
    this.driver.chain(TRANSMIT_QUEUE, 0, [
      { address: at, length: HEADER_SIZE },
      ...(data.length > 0 ? [{ address: at + HEADER_SIZE, length: data.length }] : []),
    ]);
    this.driver.offer(TRANSMIT_QUEUE, 0);
  }

  /** Packets the device has sent; their buffers are offered again. */
  received(): (Packet & { data: Buffer })[] {
    return this.driver.completed(RECEIVE_QUEUE).map(({ head, written }) => {
      const at = DATA + head * ROOM;
      const packet = parsePacket(this.driver.memory.copy(at, HEADER_SIZE))!;
      const data = Buffer.from(this.driver.memory.copy(at + HEADER_SIZE, written - HEADER_SIZE));
      this.driver.offer(RECEIVE_QUEUE, head);
      return { ...packet, data };
    });
  }

  operations(): number[] {
    return this.received().map(({ operation }) => operation);
  }

  [Symbol.dispose](): void {
    this.driver[Symbol.dispose]();
  }
}

/** A connection the guest opened, accepted. */
async function opened(guest: Guest): Promise<VsockConnection> {
  const accepted = new Promise<VsockConnection>((resolve) => guest.device.listen(HOST_PORT, resolve));
  guest.send(OP.REQUEST);
  const connection = await accepted;
  guest.received();
  return connection;
}

test('the guest connects, both sides talk, both sides end', async (t) => {
  using guest = new Guest();
  const accepted = new Promise<VsockConnection>((resolve) => guest.device.listen(HOST_PORT, resolve));
  guest.send(OP.REQUEST);
  const connection = await accepted;
  t.like(guest.received()[0], {
    operation: OP.RESPONSE,
    sourcePort: HOST_PORT,
    destinationPort: GUEST_PORT,
    bufferBytes: BUFFER_BYTES,
  });
  guest.send(OP.RW, { data: Buffer.from('from the guest') });
  t.is(String((await once(connection, 'data'))[0]), 'from the guest');
  connection.end('from the host');
  await once(connection, 'finish');
  t.deepEqual(
    guest.received().map(({ operation, flags, data }) => [operation, flags, String(data)]),
    [
      [OP.RW, 0, 'from the host'],
      [OP.SHUTDOWN, 2, ''],
    ],
  );
  guest.send(OP.SHUTDOWN, { flags: 3 });
  await closed(connection);
  t.deepEqual(guest.operations(), [OP.RST]);
});

test('we connect to the guest, or are refused, or time out', async (t) => {
  using guest = new Guest();
  const connecting = guest.device.connect(GUEST_PORT);
  const [request] = guest.received();
  t.is(request!.operation, OP.REQUEST);
  guest.send(OP.RESPONSE, { destinationPort: request!.sourcePort });
  const connection = await connecting;
  connection.write('hello');
  await turn();
  t.is(String(guest.received()[0]!.data), 'hello');

  const refused = guest.device.connect(9);
  const [second] = guest.received();
  guest.send(OP.RST, { sourcePort: 9, destinationPort: second!.sourcePort });
  await t.throwsAsync(refused, { message: /cannot connect to port 9 of the guest: the guest refused/ });

  await t.throwsAsync(guest.device.connect(10, { timeout: 10 }), { message: /did not answer/ });
});

test('what we send waits for the guest’s credit and arrives whole', async (t) => {
  using guest = new Guest();
  guest.bufferBytes = 1000;
  const connection = await opened(guest);
  const sent = Buffer.alloc(10_000, 'abcdefg');
  let written = false;
  connection.write(sent, () => {
    written = true;
  });
  const got: Buffer[] = [];
  for (let rounds = 0; rounds < 40; rounds++) {
    await turn();
    for (const packet of guest.received()) {
      got.push(packet.data);
      guest.forwarded += packet.data.length;
      t.true(packet.data.length <= 1000);
    }
    guest.send(OP.CREDIT_UPDATE);
  }
  t.deepEqual(Buffer.concat(got), sent);
  t.true(written);
});

test('what the guest sends is acknowledged as it is read, and not before', async (t) => {
  using guest = new Guest();
  const connection = await opened(guest);
  const data = Buffer.alloc(32 * 1024);
  for (let i = 0; i < BUFFER_BYTES / data.length; i++) guest.send(OP.RW, { data });
  await turn();
  t.deepEqual(guest.operations(), []);
  let got = 0;
  connection.on('data', (bytes: Buffer) => {
    got += bytes.length;
  });
  await turn();
  await turn();
  t.is(got, BUFFER_BYTES);
  const updates = guest.received();
  t.true(updates.every(({ operation }) => operation === OP.CREDIT_UPDATE));
  t.is(updates.at(-1)!.forwarded, BUFFER_BYTES);
});

test('more than its credit resets the guest’s connection, and only that', async (t) => {
  using guest = new Guest();
  const connection = await opened(guest);
  const data = Buffer.alloc(64 * 1024);
  for (let i = 0; i <= BUFFER_BYTES / data.length; i++) guest.send(OP.RW, { data });
  await closed(connection);
  t.is(connection.errored?.message, 'the guest broke the rules of the vsock connection');
  t.deepEqual(guest.operations(), [OP.RST]);
  t.false(guest.driver.needsReset);
});

test('data before the end can be read after the guest has closed', async (t) => {
  using guest = new Guest();
  const connection = await opened(guest);
  guest.send(OP.RW, { data: Buffer.from('last words') });
  guest.send(OP.SHUTDOWN, { flags: 3 });
  t.is(await text(connection), 'last words');
  connection.end();
});

for (const [name, send, answer] of [
  ['a port where nobody listens is refused', (g: Guest) => g.send(OP.REQUEST, { destinationPort: 7 }), [OP.RST]],
  ['data for no connection is refused', (g: Guest) => g.send(OP.RW, { data: Buffer.from('x') }), [OP.RST]],
  ['a reset for no connection is not answered', (g: Guest) => g.send(OP.RST), []],
  ['another type of socket is refused', (g: Guest) => g.send(OP.REQUEST, { type: 2 }), [OP.RST]],
  ['a packet from another guest is nobody’s', (g: Guest) => g.send(OP.REQUEST, { sourceCid: 99 }), []],
  ['a packet to another machine is nobody’s', (g: Guest) => g.send(OP.REQUEST, { destinationCid: 1 }), []],
  [
    'an address above 2^32 is nobody’s',
    (g: Guest) => g.driver.request(TRANSMIT_QUEUE, [{ address: DATA + 0x500000, length: HEADER_SIZE }]),
    [],
  ],
  ['half a header is nobody’s', (g: Guest) => g.driver.request(TRANSMIT_QUEUE, [{ address: DATA, length: 20 }]), []],
] as const) {
  test(name, (t) => {
    using guest = new Guest();
    guest.device.listen(HOST_PORT, () => t.fail());
    send(guest);
    t.deepEqual(guest.operations(), [...answer]);
    t.false(guest.driver.needsReset);
  });
}

for (const [name, send] of [
  ['a length larger than its buffers', (g: Guest) => g.send(OP.RW, { length: 100_000, data: Buffer.alloc(10) })],
  ['an operation that does not exist', (g: Guest) => g.send(77)],
  ['a second request', (g: Guest) => g.send(OP.REQUEST)],
  ['an answer to nothing', (g: Guest) => g.send(OP.RESPONSE)],
] as const) {
  test(`${name} resets the connection`, async (t) => {
    using guest = new Guest();
    const connection = await opened(guest);
    send(guest);
    await closed(connection);
    t.deepEqual(guest.operations(), [OP.RST]);
  });
}

test('connections are bounded', async (t) => {
  using guest = new Guest();
  guest.device.listen(HOST_PORT, () => {});
  for (let port = 1; port <= MAX_CONNECTIONS + 1; port++) {
    guest.send(OP.REQUEST, { sourcePort: port });
    const [answer] = guest.received();
    t.is(answer!.operation, port <= MAX_CONNECTIONS ? OP.RESPONSE : OP.RST);
  }
  await turn();
});

test('empty packets leave nothing behind, and small ones no more memory than they say', async (t) => {
  using guest = new Guest();
  const connection = await opened(guest);
  for (let i = 0; i < 5000; i++) guest.send(OP.RW);
  t.is(connection.save().inbox.length, 0);
  const bytes = Buffer.from(Array.from({ length: 5000 }, (_, i) => i & 0xff));
  for (const byte of bytes) guest.send(OP.RW, { data: Uint8Array.of(byte) });
  t.true(connection.pieces <= MAX_PIECES, `${connection.pieces} pieces`);
  const received: Buffer[] = [];
  connection.on('data', (chunk: Buffer) => received.push(chunk));
  await turn();
  t.deepEqual(Buffer.concat(received), bytes);
});

test('a guest that gives its buffers back at once does not keep the device busy for ever', (t) => {
  using guest = new Guest({ buffers: 0 });
  const { driver } = guest;
  // smaller than a header: completed without progress
  driver.chain(RECEIVE_QUEUE, 0, [{ address: DATA, length: 4, write: true }]);
  let given = 0;
  const queue = driver.transport.queues[RECEIVE_QUEUE]!;
  const complete = queue.complete.bind(queue);
  queue.complete = (...args) => {
    complete(...args);
    if (given++ < 10_000) driver.place(RECEIVE_QUEUE, 0);
  };
  driver.place(RECEIVE_QUEUE, 0);
  guest.send(OP.REQUEST, { destinationPort: 7 });
  t.true(given <= 64, `${given} buffers in one turn`);
});

test('a guest that takes no answers is not listened to', (t) => {
  using guest = new Guest({ buffers: 0 });
  for (let i = 0; i < MAX_CONTROL + 50; i++) guest.send(OP.REQUEST, { destinationPort: 7 });
  const before = guest.driver.completed(TRANSMIT_QUEUE).length;
  t.is(before % 64, MAX_CONTROL % 64);
  t.false(guest.driver.needsReset);
});

test('a device reset ends every connection', async (t) => {
  using guest = new Guest();
  const connection = await opened(guest);
  guest.driver.start();
  await closed(connection);
  t.is((connection.errored as NodeJS.ErrnoException).code, 'ECONNRESET');
});

/** `once` would reject at the error that comes first */
function closed(connection: VsockConnection): Promise<void> {
  return new Promise((resolve) => void connection.once('close', resolve));
}
