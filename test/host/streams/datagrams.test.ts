/** Datagrams that are answered, with node:dgram as the client. */
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { fstatSync } from 'node:fs';
import test, { type ExecutionContext } from 'ava';
import { receiveDatagrams, type DatagramOptions } from '../../../src/host/streams/datagrams.ts';
import { boundSocket, localPort } from '../../../src/host/streams/inet-socket.ts';

function serve(t: ExecutionContext, received: DatagramOptions['received']) {
  const socket = boundSocket('udp', '127.0.0.1', 0);
  const [number, port] = [socket.number, localPort(socket)];
  const datagrams = receiveDatagrams(socket, { received, problem: (error) => t.fail(String(error)) });
  t.true(socket.closed);
  return { datagrams, number, port };
}

async function client(t: ExecutionContext, port: number) {
  const socket = createSocket('udp4');
  socket.connect(port, '127.0.0.1');
  await once(socket, 'connect');
  t.teardown(() => socket.close());
  return async (bytes: Buffer): Promise<Buffer> => {
    const heard = once(socket, 'message');
    socket.send(bytes);
    const [answer] = await heard;
    return answer as Buffer;
  };
}

for (const length of [0, 1, 40, 4096, 65_507])
  test(`${length} bytes there and back`, async (t) => {
    const { datagrams, port } = serve(t, (bytes, answer) => answer(bytes));
    t.teardown(() => datagrams.close());
    const ask = await client(t, port);
    const bytes = Buffer.alloc(length, 'husk');
    t.deepEqual(await ask(bytes), bytes);
  });

test('answers that come late and in another order go to those who asked, and bytes stay as they were', async (t) => {
  const waiting: (() => void)[] = [];
  const { datagrams, port } = serve(t, (bytes, answer) => {
    waiting.push(() => answer(bytes));
    if (waiting.length === 3) for (const each of waiting.toReversed()) each();
  });
  t.teardown(() => datagrams.close());
  const clients = await Promise.all(
    ['one', 'two', 'three'].map(async (text) => ({ text, ask: await client(t, port) })),
  );
  const answers = await Promise.all(clients.map(({ text, ask }) => ask(Buffer.from(text))));
  t.deepEqual(answers.map(String), ['one', 'two', 'three']);
});

test('what is answered after the end goes nowhere, and the socket is closed', async (t) => {
  const answering = Promise.withResolvers<(bytes: Uint8Array) => void>();
  const { datagrams, number, port } = serve(t, (_bytes, answer) => answering.resolve(answer));
  const sender = createSocket('udp4');
  sender.send('x', port, '127.0.0.1');
  const answer = await answering.promise;
  datagrams.close();
  t.throws(() => fstatSync(number), { code: 'EBADF' });
  t.notThrows(() => answer(Buffer.from('late')));
  sender.close();
});
