/**
 * What a guest's root may put on the wire: frames built by hand, to a loopback and to what bridges keep for themselves,
 * in every form that hides where they go. Each at the filter, and the plain ones at the device, on a
 * link that shows what came through.
 */
import { setImmediate as turn } from 'node:timers/promises';
import test from 'ava';
import { packetPair } from '../../../src/host/streams/packet-fd.ts';
import { addressBytes } from '../../../src/host/streams/address-bytes.ts';
import { HEADER_SIZE, RECEIVE_QUEUE, TRANSMIT_QUEUE } from '../../../src/vmm/devices/net/config.ts';
import { Net } from '../../../src/vmm/devices/net/device.ts';
import { frameFilter } from '../../../src/vmm/devices/net/filter.ts';
import { PacketLink } from '../../../src/vmm/devices/net/link.ts';
import { random } from '../../fixtures/random.ts';
import { DATA, Driver } from '../driver.ts';

/** the guest's addresses */
const [OWN4, OWN6] = ['192.0.2.10', '2001:db8::10'];
const [PEER4, PEER6] = ['198.51.100.7', '2001:db8:1::7'];
const filter = frameFilter;

const [TCP, UDP, ICMPV6] = [6, 17, 58];
const [HOP_BY_HOP, ROUTING, FRAGMENT, DESTINATION, AUTHENTICATION, ESP] = [0, 43, 44, 60, 51, 50];
const ethernet = (type: number, packet: Uint8Array, tags: number[] = []) =>
  Buffer.concat([
    Buffer.alloc(12, 2),
    Buffer.from(
      [...tags, type].flatMap((word) =>
        word > 0xffff
          ? [word >>> 24, (word >>> 16) & 0xff, (word >>> 8) & 0xff, word & 0xff]
          : [word >> 8, word & 0xff],
      ),
    ),
    packet,
  ]);
const payload = Buffer.alloc(20, 7);

function ip4(
  source: string,
  destination: string,
  { options = [], fragment = 0, version = 4 }: { options?: number[]; fragment?: number; version?: number } = {},
): Buffer {
  const words = Math.ceil(options.length / 4);
  const header = Buffer.alloc(20 + words * 4);
  header[0] = (version << 4) | (5 + words);
  header.writeUInt16BE(header.length + payload.length, 2);
  header.writeUInt16BE(fragment, 6);
  header[9] = UDP;
  header.set(addressBytes(source), 12);
  header.set(addressBytes(destination), 16);
  header.set(options, 20);
  return Buffer.concat([header, payload]);
}

/** @param headers number of each, and its bytes from the length on; the last is the payload */
function ip6(source: string, destination: string, headers: [number, Uint8Array][] = [[UDP, payload]]): Buffer {
  const header = Buffer.alloc(40);
  header[0] = 6 << 4;
  header[6] = headers[0]![0];
  header.set(addressBytes(source), 8);
  header.set(addressBytes(destination), 24);
  return Buffer.concat([
    header,
    ...headers.map(([, bytes], i) =>
      i === headers.length - 1 ? bytes : Buffer.concat([Buffer.of(headers[i + 1]![0]), bytes]),
    ),
  ]);
}

function arp(sender: string, target: string): Buffer {
  const packet = Buffer.alloc(28);
  packet.set([0, 1, 8, 0, 6, 4, 0, 1]);
  packet.set(addressBytes(sender), 14);
  packet.set(addressBytes(target), 24);
  return packet;
}

const neighbor = (type: number, target: string) =>
  Buffer.concat([Buffer.of(type, 0, 0, 0, 0, 0, 0, 0), addressBytes(target)]);
const extension = (units = 0) => Buffer.alloc(7 + units * 8).fill(units, 0, 1);
const fragment = (offset: number) => Buffer.of(0, (offset << 3) >> 8, (offset << 3) & 0xff, 0, 0, 0, 1);
const IP4 = (...packet: Parameters<typeof ip4>) => ethernet(0x0800, ip4(...packet));
const IP6 = (...packet: Parameters<typeof ip6>) => ethernet(0x86dd, ip6(...packet));

/** an honest packet in a frame to a group of IEEE 802.1Q §8.6.3 */
const forBridges = (group: number) =>
  Buffer.concat([Buffer.of(0x01, 0x80, 0xc2, 0, 0, group), IP4(OWN4, PEER4).subarray(6)]);

const DROPPED: [what: string, frame: Buffer][] = [
  ['to 127.0.0.1', IP4(OWN4, '127.0.0.1')],
  ['to the end of 127/8', IP4(OWN4, '127.255.255.254')],
  ['from 127.0.0.1', IP4('127.0.0.1', PEER4)],
  ['to 0.0.0.0, which is this host', IP4(OWN4, '0.0.0.0')],
  ['to the rest of 0/8', IP4(OWN4, '0.1.2.3')],
  ['from 0.0.0.0', IP4('0.0.0.0', PEER4)],
  ['the first fragment to 127.0.0.1', IP4(OWN4, '127.0.0.1', { fragment: 0x2000 })],
  ['a later fragment to 127.0.0.1', IP4(OWN4, '127.0.0.1', { fragment: 0x2003 })],
  ['to 127.0.0.1 behind options', IP4(OWN4, '127.0.0.1', { options: [1, 1, 1, 0] })],
  ['by a loose source route', IP4(OWN4, PEER4, { options: [131, 7, 4, 127, 0, 0, 1, 0] })],
  ['by a strict source route behind others', IP4(OWN4, PEER4, { options: [1, 148, 4, 0, 0, 137, 7, 4, 127, 0, 0, 1] })],
  ['options without a length', IP4(OWN4, PEER4, { options: [7, 0, 0, 0] })],
  ['options longer than their header', IP4(OWN4, PEER4, { options: [7, 40, 4, 0] })],
  ['an IPv6 packet that says it is IPv4', ethernet(0x0800, ip6(OWN6, PEER6))],
  ['a header of four words', ethernet(0x0800, Buffer.concat([Buffer.of(0x44), ip4(OWN4, PEER4).subarray(1)]))],
  ['a header longer than its packet', ethernet(0x0800, Buffer.concat([Buffer.of(0x4f), ip4(OWN4, PEER4).subarray(1)]))],
  ['half a header', ethernet(0x0800, ip4(OWN4, '127.0.0.1').subarray(0, 18))],
  ['to ::1', IP6(OWN6, '::1')],
  ['from ::1', IP6('::1', PEER6)],
  ['to ::', IP6(OWN6, '::')],
  ['from ::', IP6('::', PEER6)],
  ['to ::ffff:127.0.0.1', IP6(OWN6, '::ffff:127.0.0.1')],
  ['from ::ffff:127.0.0.1', IP6('::ffff:127.0.0.1', PEER6)],
  ['to its own address in IPv6 form', IP6(OWN6, `::ffff:${OWN4}`)],
  ['to ::127.0.0.1', IP6(OWN6, '::127.0.0.1')],
  ['to ::ffff:0:127.0.0.1', IP6(OWN6, '::ffff:0:127.0.0.1')],
  [
    'to ::1 in a later fragment',
    IP6(OWN6, '::1', [
      [FRAGMENT, fragment(5)],
      [UDP, payload],
    ]),
  ],
  [
    'by a routing header',
    IP6(OWN6, PEER6, [
      [ROUTING, extension(2)],
      [UDP, payload],
    ]),
  ],
  [
    'by a routing header behind others',
    IP6(OWN6, PEER6, [
      [HOP_BY_HOP, extension()],
      [DESTINATION, extension(1)],
      [ROUTING, extension(2)],
      [UDP, payload],
    ]),
  ],
  [
    'by a routing header behind an authentication header',
    IP6(OWN6, PEER6, [
      [AUTHENTICATION, Buffer.alloc(23).fill(4, 0, 1)],
      [ROUTING, extension(2)],
      [UDP, payload],
    ]),
  ],
  [
    'more headers than anybody sends',
    IP6(OWN6, PEER6, [
      ...Array.from({ length: 9 }, (): [number, Buffer] => [DESTINATION, extension()]),
      [UDP, payload],
    ]),
  ],
  [
    'a header that ends behind the packet',
    IP6(OWN6, PEER6, [
      [DESTINATION, Buffer.of(255, 0, 0)],
      [ICMPV6, Buffer.alloc(0)],
    ]),
  ],
  ['half an IPv6 header', ethernet(0x86dd, ip6(OWN6, '::1').subarray(0, 30))],
  ['an IPv4 packet that says it is IPv6', ethernet(0x86dd, ip4(OWN4, PEER4))],
  ['asking for 127.0.0.1', ethernet(0x0806, arp(OWN4, '127.0.0.1'))],
  ['asking as 127.0.0.1', ethernet(0x0806, arp('127.0.0.1', PEER4))],
  ['asking as nobody', ethernet(0x0806, arp('0.0.0.0', OWN4))],
  [
    'an ARP of other lengths',
    ethernet(0x0806, Buffer.concat([Buffer.of(0, 1, 8, 0, 6, 16), arp(OWN4, PEER4).subarray(6)])),
  ],
  ['half an ARP', ethernet(0x0806, arp(OWN4, PEER4).subarray(0, 20))],
  ['asking for ::1', IP6('fe80::1', 'ff02::1:ff00:1', [[ICMPV6, neighbor(135, '::1')]])],
  ['telling of ::1', IP6('fe80::1', 'ff02::1', [[ICMPV6, neighbor(136, '::1')]])],
  [
    'asking for ::1 behind options',
    IP6('fe80::1', 'ff02::1:ff00:1', [
      [HOP_BY_HOP, extension()],
      [ICMPV6, neighbor(135, '::1')],
    ]),
  ],
  [
    'asking for ::1 in a fragment',
    IP6('fe80::1', 'ff02::1:ff00:1', [
      [FRAGMENT, fragment(0)],
      [ICMPV6, neighbor(135, '::1')],
    ]),
  ],
  [
    'the rest of a question in a later fragment',
    IP6('fe80::1', 'ff02::1:ff00:1', [
      [FRAGMENT, fragment(1)],
      [ICMPV6, neighbor(135, '::1')],
    ]),
  ],
  ['half a question', IP6('fe80::1', 'ff02::1:ff00:1', [[ICMPV6, neighbor(135, '::1').subarray(0, 12)]])],
  ['a VLAN tag before 127.0.0.1', ethernet(0x0800, ip4(OWN4, '127.0.0.1'), [0x81000001])],
  ['two VLAN tags before ::1', ethernet(0x86dd, ip6(OWN6, '::1'), [0x88a80001, 0x81000001])],
  ['a tag of priority alone', ethernet(0x0800, ip4(OWN4, PEER4), [0x81000000])],
  ['802.3 with a length', ethernet(40, ip4(OWN4, '127.0.0.1'))],
  ['IPv4 in another protocol', ethernet(0x6558, ip4(OWN4, '127.0.0.1'))],
  ['to the first group that bridges keep', forBridges(0x00)],
  ['to the last group that bridges keep', forBridges(0x0f)],
  ['nothing', Buffer.alloc(0)],
  ['a header of Ethernet, cut', Buffer.alloc(13)],
];
for (const [what, frame] of DROPPED) test(`dropped: ${what}`, (t) => t.false(filter.mayLeave(frame)));

const PASSED: [what: string, frame: Buffer][] = [
  ['to a host of the network', IP4(OWN4, PEER4)],
  ['with the option of IGMP', IP4(OWN4, '224.0.0.22', { options: [148, 4, 0, 0] })],
  ['a fragment', IP4(OWN4, PEER4, { fragment: 0x2003 })],
  ['to the next address', IP4(OWN4, '192.0.2.11')],
  ['to an IPv6 host', IP6(OWN6, PEER6, [[TCP, payload]])],
  ['to the next IPv6 address', IP6(OWN6, '2001:db8::11')],
  [
    'a fragment of IPv6',
    IP6(OWN6, PEER6, [
      [FRAGMENT, fragment(3)],
      [UDP, payload],
    ]),
  ],
  [
    'behind options',
    IP6(OWN6, PEER6, [
      [HOP_BY_HOP, extension()],
      [DESTINATION, extension(2)],
      [UDP, payload],
    ]),
  ],
  ['ESP', IP6(OWN6, PEER6, [[ESP, payload]])],
  ['a ping', IP6(OWN6, PEER6, [[ICMPV6, Buffer.of(128, 0, 0, 0)]])],
  ['asking for the gateway', ethernet(0x0806, arp(OWN4, '192.0.2.1'))],
  ['asking for the IPv6 gateway', IP6('fe80::1', 'ff02::1:ff00:1', [[ICMPV6, neighbor(135, 'fe80::2')]])],
  ['telling of its own IPv6 address', IP6(OWN6, 'fe80::2', [[ICMPV6, neighbor(136, OWN6)]])],
];
for (const [what, frame] of PASSED) test(`passed: ${what}`, (t) => t.true(filter.mayLeave(frame)));

test('for the guest: what is for its address comes in, what claims to be from a loopback does not', (t) => {
  t.true(filter.mayEnter(IP4(PEER4, OWN4)));
  t.true(filter.mayEnter(IP6(PEER6, OWN6)));
  t.true(filter.mayEnter(ethernet(0x0806, arp('192.0.2.1', OWN4))));
  for (const frame of [
    IP4('127.0.0.1', OWN4),
    IP6('::1', OWN6),
    ethernet(0x0806, arp('127.0.0.1', OWN4)),
    ethernet(0x9999, payload),
  ])
    t.false(filter.mayEnter(frame));
});

test('whatever a frame says and wherever it ends, it is judged', (t) => {
  const seed = Number(process.env['HUSK_FUZZ_SEED'] ?? Date.now() % 2 ** 31);
  const next = random(seed);
  const pick = (below: number) => Math.floor(next() * below);
  t.log(`seed ${seed}`);
  const known = [...DROPPED, ...PASSED].map(([, frame]) => frame);
  for (let i = 0; i < 20_000; i++) {
    const frame = Buffer.from(known[pick(known.length)]!);
    for (let changes = pick(4); changes > 0 && frame.length > 0; changes--) frame[pick(frame.length)] = pick(256);
    t.is(typeof filter.mayLeave(frame.subarray(0, pick(frame.length + 1))), 'boolean');
  }
});

/** struct virtio_net_hdr: needs a checksum from `start` on, at `offset` behind it */
function header(start?: number, offset = 0): Buffer {
  const bytes = Buffer.alloc(HEADER_SIZE);
  if (start === undefined) return bytes;
  bytes[0] = 1;
  bytes.writeUInt16LE(start, 6);
  bytes.writeUInt16LE(offset, 8);
  return bytes;
}

test('at the device: what is dropped is done with, and what comes after it goes', async (t) => {
  const [ours, theirs] = packetPair();
  const driver = new Driver(new Net(new PacketLink(theirs.number), { mac: Uint8Array.of(2, 0, 0, 0, 0, 1), filter }), {
    queueSize: 8,
  }).start();
  t.teardown(() => (driver[Symbol.dispose](), ours.close(), theirs.close()));
  const other = new PacketLink(ours.number);
  // Attack: an honest destination, which the checksum that the device puts in turns into a loopback.
  const [destination, behind] = [30, 34];
  const late = IP4(OWN4, '198.51.0.1');
  late.fill(0, behind);
  // ~(0xc633 + 0x0001 + this) is 0x7f00, in ones' complement
  late.writeUInt16BE(0xbaca, behind);
  const sent: [Buffer, Buffer][] = [
    [header(), IP4(OWN4, '127.0.0.1')],
    [header(), IP6(OWN6, '::1')],
    [header(destination), late],
    [header(), IP4(OWN4, PEER4)],
  ];
  for (const [head, [first, frame]] of sent.entries()) {
    const at = DATA + head * 0x1000;
    driver.memory.write(at, first);
    driver.memory.write(at + HEADER_SIZE, frame);
    driver.chain(TRANSMIT_QUEUE, head, [{ address: at, length: HEADER_SIZE + frame.length }]);
    driver.offer(TRANSMIT_QUEUE, head);
  }
  t.is(driver.completed(TRANSMIT_QUEUE).length, sent.length);
  for (const end = performance.now() + 60_000; performance.now() < end && other.peek() === undefined;) await turn();
  t.deepEqual(Buffer.from(other.peek()!), sent.at(-1)![1]);
  other.drop();
  t.is(other.peek(), undefined);
  // and the other way: the one frame that is for a guest to see
  driver.chain(RECEIVE_QUEUE, 0, [{ address: DATA + 0x10000, length: 2000, write: true }]);
  driver.offer(RECEIVE_QUEUE, 0);
  for (const frame of [IP4('127.0.0.1', OWN4), IP4(PEER4, OWN4)]) {
    other.room(frame.length).set(frame);
    other.send();
  }
  let used: { head: number; written: number }[] = [];
  for (
    const end = performance.now() + 60_000;
    performance.now() < end && used.length === 0;
    used = driver.completed(RECEIVE_QUEUE)
  )
    await turn();
  t.deepEqual(
    Buffer.from(driver.memory.copy(DATA + 0x10000 + HEADER_SIZE, used[0]!.written - HEADER_SIZE)),
    IP4(PEER4, OWN4),
  );
  t.deepEqual(driver.reports, []);
});
