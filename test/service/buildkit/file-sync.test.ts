/**
 * File sync with a client that lies: names, sizes, contents that nobody asked for; and what becomes of honest files.
 */
import test from 'ava';
import { HuskError } from '../../../src/errors.ts';
import {
  DATA,
  FAILED,
  FINISHED,
  GO_DIR,
  GO_SYMLINK,
  REQUEST,
  statPacket,
  syncedFiles,
  syncedTar,
  type SyncStream,
} from '../../../src/service/buildkit/file-sync.ts';
import { bytes, Fields, message, number, text } from '../../../src/service/buildkit/wire.ts';
import { parseTar } from './tar-names.ts';
import { random } from '../../fixtures/random.ts';

const SECONDS = Number(process.env['HUSK_FUZZ_SECONDS'] ?? 1);
const SEED = Number(process.env['HUSK_FUZZ_SEED'] ?? Date.now() % 2 ** 31);

interface Told {
  path: string | Buffer;
  mode?: number;
  data?: string;
  /** told instead of the length of the data */
  size?: number;
  linkname?: string;
}

const stat = ({ path, mode = 0o644, data = '', size = data.length, linkname }: Told): Buffer =>
  message(bytes(1, path), number(2, mode), number(5, size), number(6, 1_700_000_000_123_456_789n), text(7, linkname));
const packet = (type: number, id = 0, data?: string): Buffer =>
  message(number(1, type), number(3, id), bytes(4, data === undefined ? undefined : Buffer.from(data)));

/** A client that has these files, as fsutil's sender is one: all names first, then contents as they are asked for. */
function client(files: readonly Told[]): SyncStream & { asked: number[]; ended: boolean } {
  const queue: Buffer[] = [...files.map((file) => statPacket(stat(file))), statPacket()];
  let wake = (): void => {};
  const state = { asked: [] as number[], ended: false };
  return Object.assign(state, {
    async send(sent: Uint8Array) {
      const fields = new Fields(Buffer.from(sent));
      const id = fields.unsigned(3);
      if (fields.unsigned(1) === REQUEST) {
        state.asked.push(id);
        const { data = '' } = files[id]!;
        const step = Math.max(3, Math.ceil(data.length / 100));
        for (let at = 0; at < data.length; at += step) queue.push(packet(DATA, id, data.slice(at, at + step)));
        queue.push(packet(DATA, id));
      } else if (fields.unsigned(1) === FINISHED) queue.push(packet(FINISHED));
      wake();
    },
    end: () => void (state.ended = true),
    messages: (async function* () {
      for (;;) {
        const next = queue.shift();
        if (next) yield next;
        else if (state.ended) return;
        else await new Promise<void>((resolve) => (wake = resolve));
      }
    })(),
  });
}

/** A client that says this, whatever it is asked. */
const liar = (...packets: Buffer[]): SyncStream => ({
  send: async () => {},
  end: () => {},
  messages: (async function* () {
    yield* packets;
  })(),
});

async function tarOf(stream: SyncStream): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of syncedTar(stream)) chunks.push(chunk);
  return Buffer.concat(chunks);
}

test('files are a tar, in the order in which they were told', async (t) => {
  const sender = client([
    { path: 'a', data: 'hello' },
    { path: 'd', mode: GO_DIR + 0o755 },
    { path: 'd/empty', mode: 0o600 + 2 ** 23 },
    { path: 'd/large', data: 'x'.repeat(3000) },
    { path: 'd/link', mode: GO_SYMLINK + 0o777, linkname: '../../etc/passwd' },
    { path: 'e', linkname: 'a', data: '' },
    { path: 'ü'.repeat(100), data: 'name' },
  ]);
  const found = parseTar(await tarOf(sender));
  t.deepEqual(
    found.map(({ name, type, mode, data, linkname }) => [name, type, mode.toString(8), data.length, linkname]),
    [
      ['a', '0', '644', 5, ''],
      ['d/', '5', '755', 0, ''],
      ['d/empty', '0', '4600', 0, ''],
      ['d/large', '0', '644', 3000, ''],
      ['d/link', '2', '777', 0, '../../etc/passwd'],
      ['e', '1', '644', 0, 'a'],
      ['ü'.repeat(100), '0', '644', 4, ''],
    ],
  );
  t.is(found[0]!.data.toString(), 'hello');
  t.true(sender.ended);
});

test('small files are asked for ahead, a large one alone', async (t) => {
  const large = 'x'.repeat(3 << 20);
  const sender = client([
    ...Array.from({ length: 10 }, (_, index) => ({ path: `a${index}`, data: 'small' })),
    { path: 'b', data: large },
    { path: 'c', data: large },
  ]);
  const names = parseTar(await tarOf(sender)).map(({ data }) => data.length);
  t.deepEqual(names, [...Array.from({ length: 10 }, () => 5), large.length, large.length]);
  t.deepEqual(
    sender.asked,
    Array.from({ length: 12 }, (_, index) => index),
  );
});

test('devices, pipes and sockets are left out, and the numbers of files stay', async (t) => {
  const special = [26, 25, 24, 21].map((bit, index) => ({ path: `a${index}`, mode: 2 ** bit + 0o644 }));
  const sender = client([...special, { path: 'b', data: 'x' }]);
  t.deepEqual(
    parseTar(await tarOf(sender)).map(({ name }) => name),
    ['b'],
  );
  t.deepEqual(sender.asked, [4]);
});

test('a few files are given whole, and bounded together', async (t) => {
  const files = [
    { path: 'Dockerfile', data: 'FROM x' },
    { path: 'd', mode: GO_DIR },
  ];
  t.deepEqual([...(await syncedFiles(client(files), 100))], [['Dockerfile', Buffer.from('FROM x')]]);
  const error = await t.throwsAsync(syncedFiles(client(files), 5), { instanceOf: HuskError });
  t.is(error.kind, 'limit');
});

const NAMES: (string | Buffer)[] = [
  '',
  '/',
  '/etc/passwd',
  '..',
  '../x',
  'a/../../x',
  'a/..',
  './a',
  'a//b',
  'a/',
  '.',
  'a/.',
  'no-folder/x',
  'a\0b',
  'x'.repeat(256),
  `${'d/'.repeat(2100)}x`,
  Buffer.from('ff', 'hex'),
];
for (const path of NAMES)
  test(`refuses the name ${JSON.stringify(path.toString().slice(0, 40))} of ${path.length}`, async (t) => {
    const files = [{ path: 'a', mode: GO_DIR }, { path }];
    await t.throwsAsync(tarOf(client(files)), { instanceOf: HuskError, message: /^the client's files: / });
  });

const LIES: [name: string, stream: () => SyncStream, message: RegExp][] = [
  ['a name twice', () => client([{ path: 'a' }, { path: 'a' }]), /there twice/],
  ['a folder and a file', () => client([{ path: 'a' }, { path: 'a', mode: GO_DIR }]), /there twice/],
  ['a file as a folder', () => client([{ path: 'a' }, { path: 'a/b' }]), /in no folder/],
  [
    'a link as a folder',
    () => client([{ path: 'a', mode: GO_SYMLINK, linkname: '/etc' }, { path: 'a/b' }]),
    /in no folder/,
  ],
  ['a hard link to what is not there', () => client([{ path: 'a', linkname: '/etc/passwd' }]), /no file told before/],
  [
    'a hard link to a folder',
    () =>
      client([
        { path: 'a', mode: GO_DIR },
        { path: 'b', linkname: 'a' },
      ]),
    /no file told/,
  ],
  ['a symbolic link to nothing', () => client([{ path: 'a', mode: GO_SYMLINK }]), /without a target/],
  ['a negative size', () => client([{ path: 'a', size: -1 }]), /no size/],
  ['a file that grows', () => client([{ path: 'a', data: 'abc', size: 2 }]), /has grown/],
  ['a file that shrinks', () => client([{ path: 'a', data: 'abc', size: 4 }]), /has shrunk/],
  ['contents unasked', () => liar(packet(DATA, 7, 'x')), /not asked for/],
  [
    'contents behind their end',
    () => liar(statPacket(stat({ path: 'a', size: 9 })), packet(DATA, 0), packet(DATA, 0, 'x')),
    /has shrunk|not asked for/,
  ],
  ['an end before the names', () => liar(), /has ended the transfer/],
  ['an end within a file', () => liar(statPacket(stat({ path: 'a', size: 9 })), statPacket()), /ended within "a"/],
  [
    'a name behind the last',
    () => liar(statPacket(stat({ path: 'a', size: 1 })), statPacket(), statPacket(stat({ path: 'b' }))),
    /behind the last/,
  ],
  ['a packet of another type', () => liar(packet(9)), /a packet of a type/],
  [
    'an error of its own',
    () => liar(packet(FAILED, 0, 'permission denied')),
    /cannot read its files: permission denied/,
  ],
];
for (const [name, stream, wanted] of LIES)
  test(`refuses ${name}`, async (t) => {
    await t.throwsAsync(tarOf(stream()), { instanceOf: HuskError, message: wanted });
  });

test(`packets of any kind are read or refused (seed ${SEED})`, async (t) => {
  const next = random(SEED);
  const below = (most: number) => Math.floor(next() * most);
  const good = [
    statPacket(stat({ path: 'd', mode: GO_DIR })),
    statPacket(stat({ path: 'd/f', data: 'abc' })),
    statPacket(),
    packet(DATA, 1, 'abc'),
    packet(DATA, 1),
    packet(FINISHED),
  ];
  const end = Date.now() + SECONDS * 1000;
  let refused = 0;
  for (let count = 0; count < 20 || Date.now() < end; count++) {
    const packets = good.flatMap((each) => {
      const copy = Buffer.from(each);
      if (copy.length > 0 && below(3) === 0) copy[below(copy.length)] = below(256);
      return below(10) === 0 ? [] : below(20) === 0 ? [copy, copy] : [copy];
    });
    try {
      const names = parseTar(await tarOf(liar(...packets))).map(({ name }) => name);
      t.true(
        names.every((name) => !name.startsWith('/') && !name.split('/').includes('..')),
        names.join(),
      );
    } catch (error) {
      if (!(error instanceof HuskError)) throw error;
      refused++;
    }
  }
  t.true(refused > 0);
});
