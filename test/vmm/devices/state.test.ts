/**
 * What a snapshot would carry: every device's state is plain data, and a device made anew around it goes on where the
 * other stopped.
 */
import { writeFileSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { once } from 'node:events';
import { deserialize, serialize } from 'node:v8';
import test from 'ava';
import type { Fd } from '../../../src/host/fd.ts';
import { packetPair } from '../../../src/host/streams/packet-fd.ts';
import { Balloon } from '../../../src/vmm/devices/balloon/device.ts';
import { Backing } from '../../../src/vmm/devices/block/backing.ts';
import { Block } from '../../../src/vmm/devices/block/device.ts';
import { Console } from '../../../src/vmm/devices/console/device.ts';
import { rootIsOwner } from '../../../src/vmm/devices/fs/share/attributes.ts';
import { Fs, type FsState } from '../../../src/vmm/devices/fs/device.ts';
import { Net } from '../../../src/vmm/devices/net/device.ts';
import { PacketLink } from '../../../src/vmm/devices/net/link.ts';
import { Rng } from '../../../src/vmm/devices/rng/device.ts';
import { MmioTransport, type TransportState } from '../../../src/vmm/devices/virtio/transport.ts';
import type { VirtioDevice } from '../../../src/vmm/devices/virtio/device.ts';
import { GUEST_CID, HOST_CID, RECEIVE_QUEUE, TRANSMIT_QUEUE } from '../../../src/vmm/devices/vsock/config.ts';
import type { VsockConnection } from '../../../src/vmm/devices/vsock/connection.ts';
import { Vsock } from '../../../src/vmm/devices/vsock/device.ts';
import { buildPacket, HEADER_SIZE, OP, parsePacket, TYPE_STREAM } from '../../../src/vmm/devices/vsock/packet.ts';
import { DATA, Driver, EVERY_FRAME } from '../driver.ts';

/** As through a file: nothing but plain data comes out of it. */
const through = (state: TransportState) => deserialize(serialize(state)) as TransportState;

/** A second device on the first one's memory, in its state. */
function moved(driver: Driver, device: VirtioDevice): MmioTransport {
  const page = new Uint8Array(4096);
  const transport = new MmioTransport(device, {
    memory: driver.memory,
    page,
    interrupt: () => driver.interrupts++,
    report: (message) => driver.reports.push(message),
  });
  transport.restore(through(driver.transport.save()));
  return transport;
}

const folder = mkdtempSync(join(tmpdir(), 'husk-state-'));
test.after.always(() => rmSync(folder, { recursive: true, force: true }));
const file = join(folder, 'disk');
writeFileSync(file, Buffer.alloc(64 * 1024, 7));
const sockets: Fd[] = [];
test.after.always(() => sockets.forEach((fd) => fd.close()));
function socket(): number {
  const pair = packetPair();
  sockets.push(...pair);
  return pair[0].number;
}

const DEVICES: Record<string, () => VirtioDevice> = {
  balloon: () => new Balloon(),
  block: () => new Block(Backing.file(file, { readOnly: false }), { serial: 'x' }),
  console: () => new Console(() => {}),
  fs: () =>
    new Fs({
      tag: 'share',
      path: folder,
      readOnly: false,
      ownership: rootIsOwner(process.getuid!(), process.getgid!()),
    }),
  net: () => new Net(new PacketLink(socket()), { mac: Uint8Array.of(2, 0, 0, 0, 0, 7), filter: EVERY_FRAME }),
  rng: () => new Rng(),
  vsock: () => new Vsock(),
};

for (const [name, make] of Object.entries(DEVICES)) {
  test(`${name}: the state of a started device is plain data, and restored it saves the same`, (t) => {
    using first = make();
    using driver = new Driver(first).start({ eventIndex: true });
    const saved = driver.transport.save();
    t.deepEqual(through(saved), saved);
    using second = make();
    using transport = moved(driver, second);
    t.deepEqual(transport.save(), saved);
    t.deepEqual(driver.reports, []);
  });
}

test('a state goes into a device of its kind only', (t) => {
  using driver = new Driver(new Rng()).start();
  t.throws(() => moved(driver, new Balloon()), { message: 'cannot restore a rng into a balloon' });
});

test('a request in flight is waited for, not saved', (t) => {
  using driver = new Driver(new Rng()).start();
  driver.transport.queues[0]!.state.inFlight = 1;
  t.throws(() => driver.transport.save(), { message: 'rng: queue 0 has 1 requests in flight' });
  driver.transport.queues[0]!.state.inFlight = 0;
});

test('balloon: the size asked for is in the restored configuration', (t) => {
  const first = new Balloon();
  using driver = new Driver(first).start();
  first.setTarget(8 << 20);
  const second = new Balloon();
  using transport = moved(driver, second);
  t.is(new DataView(second.config.buffer).getUint32(0, true), (8 << 20) / 4096);
  t.is(second.state.target, 8 << 20);
  t.true(transport.save().configGeneration > 0);
});

test('console: what was typed and not read is read after the restore', (t) => {
  const first = new Console(() => {});
  using driver = new Driver(first).start();
  first.input(Buffer.from('typed'));
  using transport = moved(driver, new Console(() => {}));
  driver.chain(0, 0, [{ address: DATA, length: 16, write: true }]);
  driver.memory.writeU16(driver.rings(0).available + 4, 0);
  driver.memory.storeU16(driver.rings(0).available + 2, 1);
  transport.kick();
  t.is(Buffer.from(driver.memory.copy(DATA, 5)).toString(), 'typed');
});

test('vsock: an open connection is accepted again with its credit and its unread bytes', async (t) => {
  const first = new Vsock();
  using driver = new Driver(first, { queueSize: 64 }).start();
  let connection: VsockConnection | undefined;
  first.listen(52, (accepted) => (connection = accepted));
  const send = (transport: MmioTransport, index: number, operation: number, data = Buffer.alloc(0)) => {
    driver.memory.write(
      DATA,
      buildPacket({
        sourceCid: GUEST_CID,
        destinationCid: HOST_CID,
        sourcePort: 1111,
        destinationPort: 52,
        length: data.length,
        type: TYPE_STREAM,
        operation,
        flags: 0,
        bufferBytes: 65536,
        forwarded: 0,
      }),
    );
    driver.memory.write(DATA + HEADER_SIZE, data);
    driver.chain(TRANSMIT_QUEUE, 0, [{ address: DATA, length: HEADER_SIZE + data.length }]);
    driver.memory.writeU16(driver.rings(TRANSMIT_QUEUE).available + 4 + 2 * index, 0);
    driver.memory.storeU16(driver.rings(TRANSMIT_QUEUE).available + 2, index + 1);
    transport.kick();
  };
  send(driver.transport, 0, OP.REQUEST);
  await new Promise((resolve) => setImmediate(resolve));
  t.truthy(connection);
  send(driver.transport, 1, OP.RW, Buffer.from('unread'));
  const second = new Vsock();
  const accepted = new Promise<VsockConnection>((resolve) => second.listen(52, resolve));
  using transport = moved(driver, second);
  const again = await accepted;
  const [chunk] = (await once(again, 'data')) as [Buffer];
  t.is(chunk.toString(), 'unread');
  send(transport, 2, OP.RW, Buffer.from(' and more'));
  t.is(((await once(again, 'data')) as [Buffer])[0].toString(), ' and more');
  // ours goes out with the credit the guest had given before
  for (let i = 0; i < 4; i++) {
    driver.chain(RECEIVE_QUEUE, i, [{ address: DATA + 0x10000 + i * 4096, length: 4096, write: true }]);
    driver.memory.writeU16(driver.rings(RECEIVE_QUEUE).available + 4 + 2 * i, i);
  }
  driver.memory.storeU16(driver.rings(RECEIVE_QUEUE).available + 2, 4);
  again.write('answer');
  transport.kick();
  await new Promise((resolve) => setImmediate(resolve));
  const packets = [0, 1, 2, 3]
    .map((i) => parsePacket(driver.memory.copy(DATA + 0x10000 + i * 4096, HEADER_SIZE))!)
    .filter(({ operation }) => operation === OP.RW);
  t.deepEqual(
    packets.map(({ length, forwarded }) => [length, forwarded]),
    [[6, 15]],
  );
});

test('vsock: a connection whose port nobody serves after the restore is reset', async (t) => {
  const first = new Vsock();
  using driver = new Driver(first, { queueSize: 64 }).start();
  first.listen(52, () => {});
  driver.memory.write(
    DATA,
    buildPacket({
      sourceCid: GUEST_CID,
      destinationCid: HOST_CID,
      sourcePort: 1111,
      destinationPort: 52,
      length: 0,
      type: TYPE_STREAM,
      operation: OP.REQUEST,
      flags: 0,
      bufferBytes: 65536,
      forwarded: 0,
    }),
  );
  driver.chain(TRANSMIT_QUEUE, 0, [{ address: DATA, length: HEADER_SIZE }]);
  driver.offer(TRANSMIT_QUEUE, 0);
  await new Promise((resolve) => setImmediate(resolve));
  const second = new Vsock();
  using transport = moved(driver, second);
  await new Promise((resolve) => setImmediate(resolve));
  t.deepEqual(second.state.connections, []);
  t.deepEqual(
    transport.save().queues.map(({ inFlight }) => inFlight),
    [0, 0, 0],
  );
});

test('an interrupt that the guest may not have had is raised again', (t) => {
  using driver = new Driver(new Rng()).start();
  t.truthy(driver.request(0, [{ address: DATA, length: 8, write: true }]));
  t.is(driver.interrupts, 1);
  using transport = moved(driver, new Rng());
  t.is(driver.interrupts, 2);
  t.is(transport.save().interruptStatus, 1);
});

test('vsock: an answer that waits for a buffer of the guest’s is sent after the restore', async (t) => {
  const first = new Vsock();
  using driver = new Driver(first, { queueSize: 64 }).start();
  first.listen(52, () => {});
  const request = { bufferBytes: 65536, forwarded: 0, sourceCid: GUEST_CID, destinationCid: HOST_CID, flags: 0 };
  driver.memory.write(
    DATA,
    buildPacket({
      ...request,
      sourcePort: 1111,
      destinationPort: 52,
      length: 0,
      type: TYPE_STREAM,
      operation: OP.REQUEST,
    }),
  );
  driver.chain(TRANSMIT_QUEUE, 0, [{ address: DATA, length: HEADER_SIZE }]);
  driver.offer(TRANSMIT_QUEUE, 0);
  t.is(first.state.control.length, 1);
  const second = new Vsock();
  second.listen(52, () => {});
  using transport = moved(driver, second);
  driver.chain(RECEIVE_QUEUE, 0, [{ address: DATA + 0x10000, length: 4096, write: true }]);
  driver.place(RECEIVE_QUEUE, 0);
  transport.kick();
  const answer = parsePacket(driver.memory.copy(DATA + 0x10000, HEADER_SIZE));
  t.deepEqual([answer?.operation, answer?.destinationPort], [OP.RESPONSE, 1111]);
});

/** the interrupts that a restore raised, and the InterruptStatus: bit 1 says that the configuration changed */
function told(driver: Driver, transport: MmioTransport): [interrupts: number, status: number, generation: number] {
  const { interruptStatus, configGeneration } = transport.save();
  return [driver.interrupts, interruptStatus, configGeneration];
}

test('block: a disk of another length is told to the guest, and is read and written as long as it is', (t) => {
  const empty = join(folder, 'empty');
  writeFileSync(empty, '');
  const block = (path: string) => new Block(Backing.file(path, { readOnly: false }), { serial: 'x' });
  using driver = new Driver(block(empty)).start();
  using same = moved(driver, block(empty));
  t.deepEqual(told(driver, same), [0, 0, 0]);
  const other = block(file);
  using transport = moved(driver, other);
  t.deepEqual(told(driver, transport), [1, 2, 1]);
  t.is(new DataView(transport.save().config.buffer).getBigUint64(0, true), BigInt((64 * 1024) / 512));
  // a read of the last sector: type 0, sector 127
  driver.memory.writeU32(DATA, 0);
  driver.memory.writeU32(DATA + 8, 127);
  driver.chain(0, 0, [
    { address: DATA, length: 16 },
    { address: DATA + 512, length: 512, write: true },
    { address: DATA + 1024, length: 1, write: true },
  ]);
  driver.place(0, 0);
  transport.kick();
  t.deepEqual([...driver.memory.copy(DATA + 1022, 3)], [7, 7, 0]);
});

test('net: a link that comes, or goes, is told to the guest; its address stays', (t) => {
  const net = (link?: PacketLink, last = 7) =>
    new Net(link, { mac: Uint8Array.of(2, 0, 0, 0, 0, last), filter: EVERY_FRAME });
  using driver = new Driver(net()).start();
  using linked = moved(driver, net(new PacketLink(socket()), 9));
  t.deepEqual(told(driver, linked), [1, 2, 1]);
  t.is(Buffer.from(linked.save().config.slice(0, 8)).toString('hex'), '0200000000070100');
  using alone = moved(driver, net());
  t.deepEqual(told(driver, alone), [1, 0, 0]);
  using again = new Driver(net(new PacketLink(socket()))).start();
  using lost = moved(again, net());
  t.deepEqual(told(again, lost), [1, 2, 1]);
});

test('net: without a link frames go nowhere, and none come', (t) => {
  using driver = new Driver(new Net(undefined, { mac: Uint8Array.of(2, 0, 0, 0, 0, 7), filter: EVERY_FRAME })).start();
  driver.chain(0, 0, [{ address: DATA, length: 2048, write: true }]);
  driver.offer(0, 0);
  t.deepEqual(driver.completed(0), []);
  t.deepEqual(driver.request(1, [{ address: DATA, length: 100 }]), { head: 0, written: 0 });
  t.deepEqual(driver.reports, []);
});

test('fs: what the guest knows of its folder is saved while it has that mounted', (t) => {
  const fs = DEVICES['fs']!();
  using driver = new Driver(fs).start();
  const ask = (opcode: number, body: number[]) => {
    const request = Buffer.alloc(40 + 4 * body.length);
    request.writeUInt32LE(request.length, 0);
    request.writeUInt32LE(opcode, 4);
    for (const [i, word] of body.entries()) request.writeUInt32LE(word, 40 + 4 * i);
    driver.memory.write(DATA, request);
    driver.request(1, [
      { address: DATA, length: request.length },
      { address: DATA + 4096, length: 4096, write: true },
    ]);
  };
  const share = () => (driver.transport.save().deviceState as FsState).share;
  t.is(share(), undefined);
  ask(26 /* FUSE_INIT */, [7, 31, 0, 0]);
  t.deepEqual(share(), { inodes: { next: 2, devices: [], inodes: [] }, handles: { next: 1, open: [] } });
  ask(38 /* FUSE_DESTROY */, []);
  t.is(share(), undefined);
});
