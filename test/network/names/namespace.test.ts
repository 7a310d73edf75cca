/** A server outside of the namespace that its sockets are of: the container's side is in it, the resolver's is not. */
import { spawn, spawnSync } from 'node:child_process';
import { join } from 'node:path';
import test from 'ava';
import { receive, seqpacketPair } from '../../../src/host/streams/socket.ts';
import { hostResolver } from '../../../src/network/names/resolver-sockets.ts';
import { responder } from '../../../src/network/names/responder.ts';
import { startNameServer } from '../../../src/network/names/server.ts';
import { Upstream } from '../../../src/network/names/upstream.ts';
import { ASKER, NAMES } from './fake-names.ts';
import { A, answerTo, ASKED, fakeResolver, record } from './fake-resolver.ts';

const UNSHARE = ['unshare', '--map-root-user', '--net'] as const;
// needs user namespaces for whoever runs the tests
const able = spawnSync(UNSHARE[0], [...UNSHARE.slice(1), 'true']).status === 0;
const namespaces = able ? test : test.skip;
const needed = able ? '' : ': needs unshare(1) to make namespaces here';

namespaces(`a server answers on sockets of another network namespace, and asks from its own${needed}`, async (t) => {
  const world = await fakeResolver(t, ({ bytes }) => [
    answerTo(bytes, { answers: [record({ owner: ASKED, type: A, data: Buffer.of(192, 0, 2, 1) })] }),
  ]);
  const { near, far } = seqpacketPair();
  t.teardown(() => near.close());
  const program = [process.execPath, '--disable-warning=ExperimentalWarning', join(import.meta.dirname, 'inside.ts')];
  const child = spawn(UNSHARE[0], [...UNSHARE.slice(1), ...program], {
    stdio: ['pipe', 'pipe', 'inherit', far.number],
  });
  far.close();
  let said = '';
  child.stdout!.on('data', (chunk: Buffer) => (said += chunk.toString()));
  const ended = new Promise((resolve) => child.on('close', resolve));
  let message = receive(near.number);
  for (; message === undefined; message = receive(near.number)) await new Promise((resolve) => setTimeout(resolve, 5));
  const [udp, tcp] = message!.fds;
  const problem = (error: unknown) => t.fail(String(error));
  const upstream = new Upstream([hostResolver(world.address, { port: world.port })]);
  const respond = responder({ names: NAMES, asker: ASKER, upstream, ndotsSet: false, problem });
  const server = startNameServer({ udp: udp!, tcp: tcp!, respond, problem });
  t.teardown(() => server.close());
  child.stdin!.end('x');
  t.is(await ended, 0);
  t.is(said, '172.18.0.2\n192.0.2.1\n172.18.0.2\n192.0.2.1\n');
  t.deepEqual(
    world.asked.map(({ protocol }) => protocol),
    ['udp', 'tcp'],
  );
});
