/** Messages of the kernel's packet log; binding and packets themselves: test/network/egress/filter.test.ts. */
import test from 'ava';
import { attribute, cString } from '../../../src/host/streams/netlink-attributes.ts';
import { readLogged } from '../../../src/host/streams/packet-log.ts';

const PAYLOAD = 9;
const PREFIX = 10;
const message = (...parts: Uint8Array[]) => Buffer.concat([Buffer.from([2, 0, 0, 77]), ...parts]);

test('a packet and its word', (t) => {
  const bytes = Buffer.from('4500', 'hex');
  t.deepEqual(readLogged(message(attribute(PREFIX, cString('out')), attribute(PAYLOAD, bytes))), {
    word: 'out',
    bytes,
  });
  t.deepEqual(readLogged(message(attribute(PAYLOAD, bytes))), { word: '', bytes });
});

test('what has no packet tells nothing, however it is broken', (t) => {
  for (const hex of ['', '02', '0200004d', '0200004d0300', '0200004dffff0900aa'])
    t.is(readLogged(Buffer.from(hex, 'hex')), undefined, hex);
  let seed = 7;
  const next = () => (seed = (Math.imul(seed, 1_103_515_245) + 12_345) >>> 0) >>> 16;
  for (let round = 0; round < 20_000; round++) {
    const bytes = Buffer.from(Array.from({ length: next() % 64 }, () => next() & 0xff));
    const read = readLogged(bytes);
    t.true(read === undefined || read.bytes.length < 64);
  }
});
