/**
 * The forwarder's control messages: what TypeScript writes is accepted, anything else is refused before a socket is
 * used, and no bytes make the reader leave its own.
 */
import { execFileSync, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import test from 'ava';
import type { Fd } from '../../src/host/fd.ts';
import { memfd } from '../../src/host/memory/memfd.ts';
import { boundSocket } from '../../src/host/streams/inet-socket.ts';
import { watchReadable } from '../../src/host/streams/poll.ts';
import { receive, send, seqpacketPair } from '../../src/host/streams/socket.ts';
import { forwarderMessages, type Target } from '../../src/network/forwarder.ts';
import { ROOT } from '../fixtures/user.ts';

for (const target of [[], ['sanitized']]) execFileSync('make', ['-s', '-C', join(ROOT, 'guest/net'), ...target]);
const NET = join(ROOT, 'dist/husk-net');
const SANITIZED = join(ROOT, 'build/husk-net-asan');

const FOUR: Target = { protocol: 'tcp', port: 80, container: '172.28.0.2', gateway: '172.28.0.1', prefix: 16 };
const SIX: Target = { protocol: 'udp', port: 53, container: 'fd28::2', gateway: 'fd28::1', prefix: 64 };
const [four] = forwarderMessages([FOUR]) as [Buffer];

/** The first answer of a forwarder to these messages: errno and text; undefined when it ends without one. */
async function answer(
  messages: readonly { data: Uint8Array; fds?: readonly number[] }[],
  before: readonly string[] = [],
): Promise<string | undefined> {
  const { near, far } = seqpacketPair();
  const [program, ...args] = [...before, NET, 'forward', '3'];
  const ended = once(spawn(program!, args, { stdio: ['ignore', 'ignore', 'inherit', far.number] }), 'exit');
  far.close();
  try {
    for (const { data, fds } of messages) send(near.number, data, fds ?? []);
    return await heard(near);
  } finally {
    near.close();
    await ended;
  }
}

async function heard(near: Fd): Promise<string | undefined> {
  const { promise, resolve } = Promise.withResolvers<string | undefined>();
  using _watch = watchReadable(near.number, () => {
    const message = receive(near.number);
    if (message === null) resolve(undefined);
    else if (message) resolve(`${message.data.readInt32LE(0)} ${message.data.toString('latin1', 4)}`);
  });
  return await promise; // watched until then
}

function changed(offset: number, ...bytes: number[]): Buffer {
  const message = Buffer.from(four);
  message.set(bytes, offset);
  return message;
}

const EINVAL = 22;
const MALFORMED: [what: string, data: Uint8Array, reason: string][] = [
  ['a short header', four.subarray(0, 11), 'truncated header'],
  ['something else', changed(0, 0), 'not a control message'],
  ['a later version', changed(4, 2), 'message of another version'],
  ['an unknown flag', changed(6, 5), 'unknown flag'],
  ['no port', changed(8, 0), 'wrong number of ports'],
  ['more ports than a message has', changed(8, 33), 'wrong number of ports'],
  ['a count near the end of 32 bits', changed(8, 0xff, 0xff, 0xff, 0xff), 'wrong number of ports'],
  ['more ports than descriptors', changed(8, 2), 'not one descriptor for each port'],
  ['a byte too many', Buffer.concat([four, Buffer.alloc(1)]), 'wrong length'],
  ['a byte too few', four.subarray(0, -1), 'wrong length'],
  ['family 5', changed(12, 5), 'unknown family'],
  ['sctp', changed(13, 132), 'unknown protocol'],
  ['a prefix of no bits', changed(14, 0), 'wrong prefix'],
  ['a prefix of 33 bits of IPv4', changed(14, 33), 'wrong prefix'],
  ['port 0', changed(16, 0, 0), 'no port'],
  ['bytes behind an address of IPv4', changed(24, 1), 'padding is not zero'],
  ['no address', changed(20, 0, 0, 0, 0), 'no address'],
  ['no gateway', changed(36, 0, 0, 0, 0), 'no address'],
];
for (const [what, data, reason] of MALFORMED)
  test(`refused: ${what}`, async (t) => {
    using socket = boundSocket('tcp', '127.0.0.1', 0);
    t.is(await answer([{ data, fds: [socket.number] }]), `${EINVAL} ${reason}`);
  });

test('refused: a message longer than any can be', async (t) => {
  t.is(await answer([{ data: Buffer.alloc(12 + 33 * 40) }]), '90 message too long');
});

for (const [what, make] of [
  ['a file', () => memfd('no socket')],
  ['a socket of UDP for a port of TCP', () => boundSocket('udp', '127.0.0.1', 0)],
  ['one end of a pair', () => seqpacketPair().near],
] as const)
  test(`refused: ${what}`, async (t) => {
    using fd = make();
    t.is(await answer([{ data: four, fds: [fd.number] }]), `${EINVAL} not a socket for its port`);
  });

test('it ends when nobody is there any more, before its last message too', async (t) => {
  const { near, far } = seqpacketPair();
  const child = spawn(NET, ['forward', '3'], { stdio: ['ignore', 'ignore', 'inherit', far.number] });
  far.close();
  near.close();
  t.deepEqual(await once(child, 'exit'), [0, null]);
});

test('without the capability it says so and ends', async (t) => {
  using socket = boundSocket('tcp', '127.0.0.1', 0);
  const dropped = process.getuid!() === 0 ? ['setpriv', '--inh-caps=-all', '--bounding-set=-all'] : [];
  t.is(await answer([{ data: four, fds: [socket.number] }], dropped), '1 IP_TRANSPARENT');
});

const PORT_BYTES = 40;
const INTERESTING = [0, 1, 4, 6, 17, 32, 33, 128, 255];

test('random changes never make the reader leave its bytes', (t) => {
  const seconds = Number(process.env['HUSK_FUZZ_SECONDS'] ?? 3);
  const firstSeed = Number(process.env['HUSK_FUZZ_SEED'] ?? Date.now() % 1_000_000);
  const seeds: [message: Buffer, descriptors: number][] = [
    [four, 1],
    [forwarderMessages([SIX, FOUR], { plain: true })[0]!, 2],
    [forwarderMessages(Array.from({ length: 32 }, () => SIX))[0]!, 32],
  ];
  const end = Date.now() + seconds * 1000;
  let all = 0;
  let good = 0;
  for (let seed = firstSeed; Date.now() < end; seed++) {
    let state = (seed + 1) >>> 0;
    const random = (below: number) => {
      state ^= state << 13;
      state ^= state >>> 17;
      state ^= state << 5;
      return (state >>> 0) % below;
    };
    const batch = Array.from({ length: 2000 }, () => {
      const [message, count] = seeds[random(seeds.length)]!;
      let bytes = Buffer.from(message);
      for (let changes = random(4); changes > 0; changes--) {
        const at = random(bytes.length);
        const kind = random(4);
        if (kind === 0) bytes[at] = INTERESTING[random(INTERESTING.length)]!;
        else if (kind === 1) bytes[at]! ^= 1 << random(8);
        else if (kind === 2 && bytes.length > PORT_BYTES)
          bytes = bytes.subarray(0, bytes.length - 1 - random(PORT_BYTES));
        else bytes = Buffer.concat([bytes, Buffer.alloc(random(2 * PORT_BYTES))]);
      }
      const head = Buffer.alloc(8);
      head.writeUInt32LE(bytes.length, 0);
      head.writeUInt32LE(random(8) === 0 ? random(64) : count, 4);
      return Buffer.concat([head, bytes]);
    });
    const { status, stdout, stderr } = spawnSync(SANITIZED, ['check-many'], {
      input: Buffer.concat(batch),
      encoding: 'utf8',
      env: { ASAN_OPTIONS: 'detect_leaks=0' },
    });
    t.is(status, 0, `HUSK_FUZZ_SEED=${seed}: ${stderr.slice(0, 2000)}`);
    const [these, accepted] = stdout.split(' ').map(Number) as [number, number];
    all += these;
    good += accepted;
  }
  t.log(`${all} messages, ${good} of them accepted`);
  t.true(good > 0 && good < all, 'a fuzzer that only sees one verdict sees nothing');
});
