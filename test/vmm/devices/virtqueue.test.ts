/** The virtqueue's checks: one line an attack, and the ring arithmetic that honest drivers rely on. */
import test from 'ava';
import type { Chain } from '../../../src/vmm/devices/virtio/chain.ts';
import type { DeviceHost, VirtioDevice } from '../../../src/vmm/devices/virtio/device.ts';
import { DATA, Driver, INDIRECT, NEXT, WRITE, type Buffer16 } from '../driver.ts';

/** Completes every request with its own readable length, and remembers what it saw. */
class Echo implements VirtioDevice {
  readonly name = 'echo';
  readonly id = 42;
  readonly features = 0n;
  readonly queueSizes = [16];
  readonly config = new Uint8Array(8);
  readonly state = {};
  readonly seen: { head: number; readable: number; writable: number }[] = [];
  host: DeviceHost | undefined;
  resets = 0;
  readonly held: Chain[] = [];
  /** hold requests instead of completing them */
  hold = false;

  activate(host: DeviceHost): void {
    this.host = host;
  }

  notify(): void {
    const queue = this.host!.queues[0]!;
    const more = queue.drain((chain) => {
      this.seen.push({ head: chain.head, readable: chain.readableLength, writable: chain.writableLength });
      if (this.hold) this.held.push(chain);
      else queue.complete(chain, chain.write(0, chain.read(0, 4096)));
    });
    this.host!.publish(queue);
    if (more) this.host!.again(0);
  }

  reset(): void {
    this.resets++;
  }

  [Symbol.dispose](): void {}
}

const buffer = (address: number, length: number, flags = 0, next = 0): Buffer16 => ({ address, length, flags, next });
const good = buffer(DATA, 16);

test('a chain of readable and writable buffers is answered', (t) => {
  const device = new Echo();
  using driver = new Driver(device).start();
  driver.memory.write(DATA, Buffer.from('hello'));
  t.deepEqual(
    driver.request(0, [
      { address: DATA, length: 5 },
      { address: DATA + 100, length: 3, write: true },
      { address: DATA + 200, length: 10, write: true },
    ]),
    { head: 0, written: 5 },
  );
  t.is(
    Buffer.from(driver.memory.copy(DATA + 100, 3)).toString() +
      Buffer.from(driver.memory.copy(DATA + 200, 2)).toString(),
    'hello',
  );
  t.is(driver.interrupts, 1);
});

test('an indirect table counts as the chain', (t) => {
  const device = new Echo();
  using driver = new Driver(device).start();
  driver.rawDescriptor(DATA, buffer(DATA + 0x1000, 7, NEXT, 2));
  driver.rawDescriptor(DATA + 32, buffer(DATA + 0x2000, 9, WRITE));
  driver.descriptor(0, 3, buffer(DATA, 48, INDIRECT));
  driver.offer(0, 3);
  t.deepEqual(device.seen, [{ head: 3, readable: 7, writable: 9 }]);
});

test('an indirect table may have as many descriptors as the queue', (t) => {
  const device = new Echo();
  using driver = new Driver(device).start();
  for (let i = 0; i < 8; i++)
    driver.rawDescriptor(DATA + 16 * i, buffer(DATA + 0x1000, 1, i < 7 ? NEXT : WRITE, i + 1));
  driver.descriptor(0, 0, buffer(DATA, 8 * 16, INDIRECT));
  driver.offer(0, 0);
  t.deepEqual(device.seen, [{ head: 0, readable: 7, writable: 1 }]);
});

test('indices wrap at 2^16', (t) => {
  const device = new Echo();
  using driver = new Driver(device).start();
  driver.chain(0, 0, [{ address: DATA, length: 1 }]);
  for (let i = 0; i < 65540; i++) driver.offer(0, 0);
  t.is(device.seen.length, 65540);
  t.false(driver.needsReset);
});

const ATTACKS: Record<string, (driver: Driver) => void> = {
  'a loop of descriptors': (d) => {
    d.descriptor(0, 0, { ...good, flags: NEXT, next: 1 });
    d.descriptor(0, 1, { ...good, flags: NEXT, next: 0 });
    d.offer(0, 0);
  },
  'a descriptor that is its own next': (d) => {
    d.descriptor(0, 0, { ...good, flags: NEXT, next: 0 });
    d.offer(0, 0);
  },
  'a head outside the table': (d) => d.offer(0, 8),
  'the largest head': (d) => d.offer(0, 65535),
  'a next outside the table': (d) => {
    d.descriptor(0, 0, { ...good, flags: NEXT, next: 8 });
    d.offer(0, 0);
  },
  'an empty buffer': (d) => {
    d.descriptor(0, 0, { ...good, length: 0 });
    d.offer(0, 0);
  },
  'a buffer that wraps around 2^64': (d) => {
    d.descriptor(0, 0, buffer(2 ** 64 - 4096, 8192));
    d.offer(0, 0);
  },
  'a buffer beyond RAM': (d) => {
    d.descriptor(0, 0, buffer(2 ** 40, 16));
    d.offer(0, 0);
  },
  'a buffer across the end of RAM': (d) => {
    d.descriptor(0, 0, buffer(d.memory.size - 8, 16));
    d.offer(0, 0);
  },
  'a buffer of 4 GiB': (d) => {
    d.descriptor(0, 0, buffer(DATA, 0xffff_ffff));
    d.offer(0, 0);
  },
  'a readable buffer after a writable one': (d) => {
    d.descriptor(0, 0, { ...good, flags: NEXT | WRITE, next: 1 });
    d.descriptor(0, 1, good);
    d.offer(0, 0);
  },
  'an available index that jumps by more than the queue': (d) => {
    d.memory.writeU16(d.rings(0).available + 2, 9);
    d.transport.kick();
  },
  'an available index that goes back': (d) => {
    d.memory.writeU16(d.rings(0).available + 2, 0xffff);
    d.transport.kick();
  },
  'an indirect table inside an indirect table': (d) => {
    d.rawDescriptor(DATA, buffer(DATA, 16, INDIRECT));
    d.descriptor(0, 0, buffer(DATA, 16, INDIRECT));
    d.offer(0, 0);
  },
  'an indirect descriptor with a next': (d) => {
    d.rawDescriptor(DATA, good);
    d.descriptor(0, 0, buffer(DATA, 16, INDIRECT | NEXT, 1));
    d.descriptor(0, 1, good);
    d.offer(0, 0);
  },
  'an indirect table that is no whole number of descriptors': (d) => {
    d.descriptor(0, 0, buffer(DATA, 24, INDIRECT));
    d.offer(0, 0);
  },
  'an indirect table larger than the queue': (d) => {
    d.descriptor(0, 0, buffer(DATA, 9 * 16, INDIRECT));
    d.offer(0, 0);
  },
  'an indirect table beyond RAM': (d) => {
    d.descriptor(0, 0, buffer(2 ** 40, 16, INDIRECT));
    d.offer(0, 0);
  },
  'a loop inside an indirect table': (d) => {
    d.rawDescriptor(DATA, { ...good, flags: NEXT, next: 0 });
    d.descriptor(0, 0, buffer(DATA, 16, INDIRECT));
    d.offer(0, 0);
  },
  'queue rings moved beyond RAM': (d) => {
    d.write(0x44, 0);
    d.write(0x84, 1);
    d.write(0x44, 1);
  },
  'a queue larger than the device allows': (d) => {
    d.write(0x44, 0);
    d.write(0x38, 32);
    d.write(0x44, 1);
  },
  'a queue size that is no power of two': (d) => {
    d.write(0x44, 0);
    d.write(0x38, 7);
    d.write(0x44, 1);
  },
  'a misaligned available ring': (d) => {
    d.write(0x44, 0);
    d.write(0x38, 8);
    d.write(0x90, DATA + 1);
    d.write(0x44, 1);
  },
};

for (const [name, attack] of Object.entries(ATTACKS)) {
  test(`${name} needs a reset, and a reset heals it`, (t) => {
    const device = new Echo();
    using driver = new Driver(device).start();
    attack(driver);
    t.true(driver.needsReset);
    t.is(driver.reports.length, 1);
    t.is(device.resets, 1);
    t.deepEqual(device.seen, []);
    // a failed device does nothing, whatever is offered
    driver.transport.kick();
    t.deepEqual(device.seen, []);
    driver.start();
    t.false(driver.needsReset);
    driver.chain(0, 0, [{ address: DATA, length: 4 }]);
    driver.offer(0, 0);
    t.is(device.seen.length, 1);
  });
}

test('more requests in flight than entries is a fault', (t) => {
  const device = new Echo();
  device.hold = true;
  using driver = new Driver(device).start();
  driver.chain(0, 0, [{ address: DATA, length: 4 }]);
  for (let i = 0; i < 8; i++) driver.offer(0, 0);
  t.false(driver.needsReset);
  driver.offer(0, 0);
  t.true(driver.needsReset);
  t.is(device.seen.length, 8);
});

test('a chain taken before a reset completes into nothing', (t) => {
  const device = new Echo();
  device.hold = true;
  using driver = new Driver(device).start();
  driver.chain(0, 0, [{ address: DATA, length: 4 }]);
  driver.offer(0, 0);
  const queue = driver.transport.queues[0]!;
  const stale = device.held[0]!;
  driver.start();
  queue.complete(stale, 4);
  t.deepEqual(driver.completed(0), []);
  t.true(queue.isStale(stale));
  t.is(queue.state.inFlight, 0);
});

test('event index: one interrupt and one kick where the driver asks for one', (t) => {
  const device = new Echo();
  using driver = new Driver(device).start({ eventIndex: true });
  const { available, used } = driver.rings(0);
  driver.chain(0, 0, [{ address: DATA, length: 1 }]);
  // used_event: interrupt when the used index passes 2
  driver.memory.writeU16(available + 4 + 2 * driver.queueSize, 2);
  driver.offer(0, 0);
  driver.offer(0, 0);
  t.is(driver.interrupts, 0);
  driver.offer(0, 0);
  t.is(driver.interrupts, 1);
  // avail_event: kick me at the next request
  t.is(driver.memory.readU16(used + 4 + 8 * driver.queueSize), 3);
});

test('without event index NO_INTERRUPT is obeyed', (t) => {
  using driver = new Driver(new Echo()).start();
  driver.memory.writeU16(driver.rings(0).available, 1);
  driver.chain(0, 0, [{ address: DATA, length: 1 }]);
  driver.offer(0, 0);
  t.is(driver.interrupts, 0);
  t.is(driver.completed(0).length, 1);
});

test('features: FEATURES_OK is refused for what was not offered and for a legacy driver', (t) => {
  using driver = new Driver(new Echo());
  driver.write(0x70, 3);
  driver.write(0x24, 1);
  driver.write(0x20, 1 | 2);
  driver.write(0x70, 3 | 8);
  t.is(driver.status & 8, 0);
  driver.write(0x20, 0);
  driver.write(0x70, 3 | 8);
  t.is(driver.status & 8, 0);
  driver.write(0x20, 1);
  driver.write(0x70, 3 | 8);
  t.is(driver.status & 8, 8);
});

test('state saved and restored goes on where it was', (t) => {
  const device = new Echo();
  using driver = new Driver(device).start();
  driver.chain(0, 0, [{ address: DATA, length: 1 }]);
  driver.offer(0, 0);
  const saved = driver.transport.save();
  driver.transport.restore(structuredClone(saved));
  driver.offer(0, 0);
  t.is(driver.completed(0).length, 2);
  t.deepEqual(driver.transport.save().queues[0]!.nextUsed, 2);
});
