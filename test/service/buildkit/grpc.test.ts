/** Frames of gRPC, and both ends of it over one connection. */
import { duplexPair, Readable } from 'node:stream';
import test from 'ava';
import { HuskError } from '../../../src/errors.ts';
import { GrpcClient } from '../../../src/service/buildkit/client.ts';
import {
  decodeText,
  encodeText,
  frame,
  GrpcError,
  messagesOf,
  NOT_FOUND,
  UNIMPLEMENTED,
} from '../../../src/service/buildkit/grpc.ts';
import { serveGrpc, type Methods } from '../../../src/service/buildkit/server.ts';

async function read(chunks: Buffer[], most?: number): Promise<string[]> {
  const found: string[] = [];
  for await (const each of messagesOf(Readable.from(chunks), most)) found.push(each.toString());
  return found;
}
const framed = Buffer.concat(['', 'a', 'bc'.repeat(300)].map((text) => frame(Buffer.from(text))));

for (const size of [1, 2, 3, 5, 7, 100, framed.length])
  test(`messages are the same in pieces of ${size}`, async (t) => {
    const pieces = Array.from({ length: Math.ceil(framed.length / size) }, (_, at) =>
      framed.subarray(at * size, (at + 1) * size),
    );
    t.deepEqual(await read(pieces), ['', 'a', 'bc'.repeat(300)]);
  });

test('a stream that ends within a message is refused', async (t) => {
  await t.throwsAsync(read([framed.subarray(0, -1)]), { instanceOf: HuskError, message: /ends within a message/ });
  await t.throwsAsync(read([framed.subarray(0, 3)]), { instanceOf: HuskError });
});

test('a message that is too long is refused by its head', async (t) => {
  const error = await t.throwsAsync(read([Buffer.from('00ffffffff', 'hex')]), { instanceOf: HuskError });
  t.is(error.kind, 'limit');
  await t.throwsAsync(read([frame(Buffer.alloc(11))], 10), { instanceOf: HuskError, message: /at most 10/ });
});

test('a compressed message is refused', async (t) => {
  await t.throwsAsync(read([Buffer.from('0100000000', 'hex')]), { instanceOf: HuskError, message: /compressed/ });
});

for (const written of ['plain', 'ü 100%\n', '\0', '%41'])
  test(`a status text is the same after its header: ${JSON.stringify(written)}`, (t) => {
    t.regex(encodeText(written), /^[\x20-\x7e]*$/);
    t.is(decodeText(encodeText(written)), written);
  });

/** A client, and a server with these methods, over a pair of streams. */
function both(methods: Methods) {
  const [one, other] = duplexPair();
  const ended = new AbortController();
  const bugs: unknown[] = [];
  const served = serveGrpc(one, methods, { signal: ended.signal, onBug: (error) => void bugs.push(error) });
  const client = new GrpcClient(other);
  return {
    client,
    bugs,
    signal: new AbortController().signal,
    async [Symbol.asyncDispose]() {
      client.destroy();
      ended.abort();
      await served;
    },
  };
}

const METHODS: Methods = {
  '/a/Echo': async function* ({ messages }) {
    for await (const each of messages) yield Buffer.concat([Buffer.from('got '), each]);
  },
  '/a/Missing': async function* () {
    yield await Promise.reject(new HuskError('nothing of this name: ü', { kind: 'not-found', fix: 'make one' }));
  },
  '/a/Bug': async function* () {
    yield await Promise.reject(new Error('secret of husk'));
  },
  '/a/Header': async function* ({ headers }) {
    yield Buffer.from(String(headers['followpaths']));
  },
  '/a/Large': async function* () {
    for (let count = 0; count < 100; count++) yield Buffer.alloc(100_000, count);
  },
};

test('a message goes there and comes back', async (t) => {
  await using pair = both(METHODS);
  t.is((await pair.client.unary('/a/Echo', Buffer.from('x'), pair.signal)).toString(), 'got x');
});

test('messages go both ways at the same time', async (t) => {
  await using pair = both(METHODS);
  const call = pair.client.call('/a/Echo', pair.signal);
  for (const text of ['1', '2']) {
    await call.send(Buffer.from(text));
    t.is((await call.messages.next()).value?.toString(), `got ${text}`);
  }
  call.end();
  t.true((await call.messages.next()).done);
});

test('an error is a status with its text', async (t) => {
  await using pair = both(METHODS);
  const error = await t.throwsAsync(pair.client.unary('/a/Missing', Buffer.alloc(0), pair.signal), {
    instanceOf: GrpcError,
  });
  t.is(error.code, NOT_FOUND);
  t.is(error.message, 'nothing of this name: ü (make one)');
  t.deepEqual(pair.bugs, []);
});

test('a fault of husk is told to its own, and not to the client', async (t) => {
  await using pair = both(METHODS);
  const error = await t.throwsAsync(pair.client.unary('/a/Bug', Buffer.alloc(0), pair.signal), {
    instanceOf: GrpcError,
  });
  t.notRegex(error.message, /secret/);
  t.is(pair.bugs.length, 1);
});

for (const path of ['/a/Nothing', '/__proto__', '/constructor'])
  test(`there is no method ${path}`, async (t) => {
    await using pair = both(METHODS);
    const error = await t.throwsAsync(pair.client.unary(path, Buffer.alloc(0), pair.signal), { instanceOf: GrpcError });
    t.is(error.code, UNIMPLEMENTED);
  });

test('a list in the metadata is a header each', async (t) => {
  await using pair = both(METHODS);
  const call = pair.client.call('/a/Header', pair.signal, { followpaths: ['a', 'b'] });
  call.end();
  t.is((await call.messages.next()).value?.toString(), 'a, b');
});

test('what is larger than every window comes whole', async (t) => {
  await using pair = both(METHODS);
  const call = pair.client.call('/a/Large', pair.signal);
  call.end();
  let length = 0;
  for await (const each of call.messages) length += each.length;
  t.is(length, 10_000_000);
});

test('what was sent before anybody reads is not lost', async (t) => {
  const sent = Promise.withResolvers<void>();
  await using pair = both({
    '/a/Upload': async function* () {
      yield Buffer.from('early');
      sent.resolve();
    },
  });
  const call = pair.client.call('/a/Upload', pair.signal);
  call.end();
  await sent.promise;
  // A second call comes back behind the end of the first.
  await t.throwsAsync(pair.client.unary('/a/Nothing', Buffer.alloc(0), pair.signal));
  t.is((await call.messages.next()).value?.toString(), 'early');
  t.true((await call.messages.next()).done);
});

test('a connection that is closed ends its calls with an error', async (t) => {
  await using pair = both(METHODS);
  const call = pair.client.call('/a/Echo', pair.signal);
  const reading = call.messages.next();
  pair.client.destroy();
  await t.throwsAsync(reading, { instanceOf: GrpcError });
  t.throws(() => pair.client.call('/a/Echo', pair.signal), { instanceOf: GrpcError, message: /closed/ });
});
