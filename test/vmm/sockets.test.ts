/**
 * Sockets of the host's in containers: a client in the container talks to servers of this process by a bind, in user
 * namespaces and in a VM; and what only a VM has: a relay, which may be killed.
 */
import { once } from 'node:events';
import { chmodSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { createServer, type Server, type Socket } from 'node:net';
import { text } from 'node:stream/consumers';
import test from 'ava';
import { Home, TIMEOUT } from './home.ts';
import { missingParts, notByItself, onKvmHost } from './kvm-host.ts';
import { makeUnixClient, UNIX_CLIENT } from './parts.ts';

const LARGE = 'x'.repeat(1 << 20);
/** what one machine may have at once */
const MOST = 64;

const missing = missingParts() ?? notByItself();
if (missing !== undefined) test.skip(missing, () => {});
else {
  if (process.env['VMHOST'] !== '1') makeUnixClient();
  await onKvmHost(import.meta.url, register, { seconds: 600 });
}

const echo = (socket: Socket) => void socket.pipe(socket);

async function serve(path: string, onConnection: (socket: Socket) => void): Promise<Server> {
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    socket.on('error', () => {});
    onConnection(socket);
  });
  server.listen(path);
  await once(server, 'listening');
  return server;
}

const closed = (server: Server) => new Promise((done) => server.close(done));

/** The relays of machines that have a socket of this folder's. */
function relays(folder: string): number[] {
  const line = (pid: string) => {
    try {
      return readFileSync(`/proc/${pid}/cmdline`, 'utf8');
    } catch {
      return '';
    }
  };
  const numbers = readdirSync('/proc').filter((name) => /^\d+$/.test(name));
  return numbers.filter((pid) => /^husk-relay\0.*\0/.test(line(pid)) && line(pid).includes(folder)).map(Number);
}

function register(): void {
  const home = new Home();
  const folder = home.make('sockets');
  test.after.always('nothing is left running', async (t) => {
    t.deepEqual(await home.end(), []);
    t.deepEqual(relays(home.folder), []);
  });

  for (const isolation of ['userns', 'vm']) {
    const name = `sockets-${isolation}`;
    const path = (socket: string) => `${folder}/${isolation}-${socket}`;
    const isVm = isolation === 'vm';
    const inside = async (input: string, ...command: string[]) => {
      const { stdout, stderr } = await home.feed(input, 'exec', '-i', name, ...command);
      return stdout + stderr;
    };
    let [echoing, telling]: Server[] = [];

    test.serial(`${isolation}: a container starts with sockets, one of them read-only`, async (t) => {
      t.timeout(TIMEOUT);
      echoing = await serve(path('echo'), echo);
      telling = await serve(path('tell'), (socket) => {
        void text(socket).then((said) => socket.end(`heard ${said.length}`));
      });
      chmodSync(path('echo'), 0o660);
      const binds = [
        `${path('echo')}:/run/echo`,
        `${path('tell')}:/tell:ro`,
        `${folder}:/folder`,
        `${UNIX_CLIENT}:/client`,
      ];
      const options = ['--name', name, `--isolation=${isolation}`, '--network', 'none', '--stop-timeout', '0'];
      const volumes = binds.flatMap((bind) => ['-v', bind]);
      const started = await home.feed('', 'run', '-d', ...options, ...volumes, 'husk/base', 'sleep', '1000');
      t.is(started.status, 0, started.stderr);
      t.is(started.stderr, '');
      const mounts = JSON.parse(home.must('inspect', '--format', '{{json .Mounts}}', name)) as {
        Destination: string;
      }[];
      const mounted = (at: string) => mounts.find(({ Destination }) => Destination === at);
      t.like(mounted('/run/echo'), { Type: 'bind', Source: path('echo'), RW: true });
      t.like(mounted('/tell'), { Type: 'bind', Source: path('tell'), RW: false });
      t.is(relays(home.folder).length, isVm ? 1 : 0);
    });

    test.serial(`${isolation}: both directions, half-close, two at once`, async (t) => {
      t.timeout(TIMEOUT);
      t.is(await inside('', 'stat', '-c', '%F %a %u:%g', '/run/echo'), 'socket 660 0:0\n');
      t.is(await inside('hello', '/client', '/run/echo'), 'hello');
      t.is(await inside('hello', '/client', '/tell'), 'heard 5');
      const [one, other] = await Promise.all([
        inside(LARGE, '/client', '/run/echo'),
        inside(LARGE, '/client', '/tell'),
      ]);
      t.is(one.length, LARGE.length, one.slice(-200));
      t.true(one === LARGE);
      t.is(other, `heard ${LARGE.length}`);
    });

    test.serial(`${isolation}: the mode is the host's, for each user of the container`, async (t) => {
      t.timeout(TIMEOUT);
      const { stderr } = await home.feed('', 'exec', '-u', '1000:1000', name, '/client', '/run/echo');
      t.is(stderr, 'connect: Permission denied\n');
    });

    test.serial(
      `${isolation}: of many connections at once ${isVm ? MOST : 'all'} are answered, and places come back`,
      async (t) => {
        t.timeout(TIMEOUT);
        t.is(await inside('', '/client', '/run/echo', '200'), `${isVm ? MOST : 200}\n`);
        t.is(await inside('again', '/client', '/run/echo'), 'again');
      },
    );

    // docs/differences.md § Virtual machines
    test.serial(`${isolation}: a socket in a shared folder`, async (t) => {
      t.timeout(TIMEOUT);
      const answer = await inside('hello', '/client', `/folder/${isolation}-echo`);
      t.is(answer, isVm ? 'connect: Connection refused\n' : 'hello');
    });

    test.serial(`${isolation}: a server that is away, and one that was started again`, async (t) => {
      t.timeout(TIMEOUT);
      await closed(echoing!);
      const away = await inside('hello', '/client', '/run/echo');
      t.regex(
        away,
        isVm ? /^((read|write): (Connection reset by peer|Broken pipe)\n)*$/ : /^connect: Connection refused\n$/,
      );
      rmSync(path('echo'), { force: true });
      echoing = await serve(path('echo'), echo);
      const again = await inside('hello', '/client', '/run/echo');
      t.is(again, isVm ? 'hello' : 'connect: Connection refused\n');
    });

    if (isVm)
      test.serial('vm: without its relay what connects is refused, and the container goes on', async (t) => {
        t.timeout(TIMEOUT);
        const [relay] = relays(home.folder);
        process.kill(relay!, 'SIGKILL');
        for (;;) {
          const answer = await inside('hello', '/client', '/run/echo');
          if (answer === 'connect: Connection refused\n') break;
          t.not(answer, 'hello');
        }
        t.is(await inside('', 'echo', 'alive'), 'alive\n');
      });

    test.serial(
      `${isolation}: a stopped container's files are there, and started again it has its sockets`,
      async (t) => {
        t.timeout(TIMEOUT);
        const must = async (...args: string[]) => {
          const { status, stdout, stderr } = await home.feed('', ...args);
          t.is(status, 0, stderr);
          return stdout;
        };
        await must('stop', name);
        t.is((await must('cp', `${name}:/etc/passwd`, '-')).length > 0, true);
        await must('start', name);
        t.is(await inside('hello', '/client', '/run/echo'), 'hello');
        await must('rm', '-f', name);
        await closed(echoing!);
        await closed(telling!);
      },
    );
  }
}
