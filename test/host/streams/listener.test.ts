/** A listening unix socket: who may connect, what it gives, how it ends. */
import { spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { statSync } from 'node:fs';
import { connect, Socket } from 'node:net';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import test from 'ava';
import { listenAt } from '../../../src/host/streams/listener.ts';
import { temporaryFolder } from '../../fixtures/temporary.ts';

const path = (): string => join(temporaryFolder('husk-listener-'), 'socket');

test('every connection is given, in both directions, and its user alone may make one', async (t) => {
  const at = path();
  using _listening = listenAt(at, (connection) => {
    const server = new Socket({ fd: connection.release() });
    server.pipe(server);
  });
  t.is(statSync(at).mode & 0o777, 0o600);
  const answers = Array.from({ length: 20 }, async (_, index) => {
    const client = connect(at);
    client.end(`client ${index}`);
    return text(client);
  });
  t.deepEqual(
    await Promise.all(answers),
    Array.from({ length: 20 }, (_, index) => `client ${index}`),
  );
});

test('a path that is taken, or cannot be, is said', (t) => {
  const at = path();
  using _listening = listenAt(at, (connection) => connection.close());
  t.like(
    t.throws(() => listenAt(at, () => {})),
    { code: 'EADDRINUSE', syscall: 'listen', path: at },
  );
  const absent = join(path(), 'x', 'y');
  t.like(
    t.throws(() => listenAt(absent, () => {})),
    { code: 'ENOENT', path: absent },
  );
  t.throws(() => listenAt(`/tmp/${'x'.repeat(200)}`, () => {}), { instanceOf: RangeError });
});

test('nobody is heard once it has ended, also from within a connection', async (t) => {
  const at = path();
  const listening = listenAt(at, (connection) => {
    connection.close();
    listening[Symbol.dispose]();
  });
  const first = connect(at);
  await once(first, 'close');
  const [error] = await once(connect(at), 'error');
  t.is((error as NodeJS.ErrnoException).code, 'ECONNREFUSED');
});

test('where no descriptor is left, who connects waits until there is one', (t) => {
  const at = path();
  const module = join(import.meta.dirname, '../../../src/host/streams/listener.ts');
  const script = `import { listenAt } from ${JSON.stringify(module)};
    import { closeSync, openSync } from 'node:fs';
    import { connect } from 'node:net';
    const listening = listenAt(${JSON.stringify(at)}, (connection) => {
      console.log('heard');
      connection.close();
      listening[Symbol.dispose]();
    });
    const client = connect(${JSON.stringify(at)});
    const taken = [];
    for (;;) try { taken.push(openSync('/dev/null')); } catch { break; }
    const before = process.cpuUsage();
    setTimeout(() => {
      const { user, system } = process.cpuUsage(before);
      console.log(user + system < 150_000 ? 'at rest' : 'in circles');
      closeSync(taken.pop());
    }, 300);`;
  const node = [process.execPath, '--disable-warning=ExperimentalWarning', '--input-type=module', '--eval', script];
  const { stdout, stderr } = spawnSync('prlimit', ['--nofile=64:64', ...node], { encoding: 'utf8' });
  t.is(stderr, '');
  t.is(stdout, 'at rest\nheard\n');
});
