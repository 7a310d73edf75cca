/**
 * Published ports through the real forwarder, in a host of its own (forwarder-driver.ts carries the cases out): by
 * root, by an ordinary user, and once with a forwarder that a sanitizer watches.
 */
import { execFileSync, spawnSync } from 'node:child_process';
import { join } from 'node:path';
import test from 'ava';
import { forwarderMessages, type Target } from '../../src/network/forwarder.ts';
import { ordinaryUser, ROOT, TIMEOUT } from '../fixtures/user.ts';

const AS_ROOT = process.getuid!() === 0;
const NET_ADMIN = '0000000000001000';
const NONE = '0000000000000000';
const MIB = 1 << 20;

/** What is right; a function where a value has no one form. */
const RIGHT: Record<string, unknown> = {
  'who, IPv4': '198.51.100.3 33333',
  'who, IPv6': '2001:db8::3 33334',
  'who, loopback': '172.28.0.1',
  'who, loopback of IPv6': 'fd28::1',
  'who, of the own subnet': '172.28.0.1',
  'one name to two ports': '198.51.100.3 33335',
  'one name twice to one port': ['198.51.100.3', true],
  'half-close, to the container': true,
  '64 MiB from the container': true,
  'nobody listens': 'ECONNRESET',
  'the container resets': 'ECONNRESET',
  'the client resets': 'echo ECONNRESET',
  'others go on while 40 are stuck': true,
  // its buffers have 8 MiB, whoever is stuck
  'memory while 40 are stuck': (bytes: number) => bytes > 0 && bytes < 12 * MIB,
  'what was stuck arrives': true,
  'datagrams, IPv4': '198.51.100.3 33336 hello',
  'datagrams, one name twice to one port': ['198.51.100.3', true],
  'datagrams, IPv6': '2001:db8::3 33337 hello',
  'datagrams, to another address': '2001:db8::3 33337 hello',
  'datagrams, loopback': '172.28.0.1',
  'datagrams, empty': '',
  '1100 clients': 1100,
  'flows of 1100 clients': [true, true],
  'the first one again': true,
  'flows end when they are idle': true,
  // effective, permitted, inheritable, bounding, ambient; no_new_privs; a filter
  confined: [NET_ADMIN, NET_ADMIN, NONE, NET_ADMIN, NONE, '1', '2'],
  'after a worker is killed': ['198.51.100.3 33338', true],
  closed: [true, true],
  'nobody listens any more': 'ECONNREFUSED',
  plain: '172.28.0.1',
  'plain, datagrams': '172.28.0.1',
  'plain, confined': NONE,
  'its first process killed': true,
  'detached, its first process killed': ['198.51.100.3', false],
  'detached, ended': true,
  'detached, ended whole': [true, 'ECONNREFUSED'],
  'of the other family': '172.28.0.1',
  '200 sockets': ['198.51.100.3', '2001:db8::3'],
  // the others wait until there is room for them
  'more connections than descriptors': [51, true],
};

interface Runner {
  /** @returns stdout, and stderr for when a case is missing */
  run(command: string[]): { stdout: string; stderr: string };
  /** a sanitizer needs system calls that the filter forbids, and memory of its own */
  sanitized?: boolean;
}

const asRoot = (command: string[]) => {
  const [program, ...args] = command;
  return spawnSync(program!, args, { encoding: 'utf8', timeout: TIMEOUT, cwd: '/' });
};
const asUser = (env: NodeJS.ProcessEnv) => (command: string[]) => {
  using user = ordinaryUser();
  return user.run(command, { env });
};
const RUNNERS: Record<string, Runner> = {
  ...(AS_ROOT && { root: { run: asRoot } }),
  user: { run: asUser({}) },
  sanitized: { run: asUser({ HUSK_NET_PROGRAM: join(ROOT, 'build/husk-net-asan') }), sanitized: true },
};

for (const target of [[], ['sanitized']]) execFileSync('make', ['-s', '-C', join(ROOT, 'guest/net'), ...target]);

for (const [who, { run, sanitized = false }] of Object.entries(RUNNERS))
  test.serial(`published ports (${who})`, (t) => {
    t.timeout(TIMEOUT);
    const node = [process.execPath, '--disable-warning=ExperimentalWarning'];
    const driver = join(import.meta.dirname, 'forwarder-driver.ts');
    const { stdout, stderr } = run(['unshare', '--user', '--map-root-user', '--net', ...node, driver]);
    t.is(stderr, '');
    const came = new Map(
      stdout
        .trim()
        .split('\n')
        .map((line) => JSON.parse(line) as { name: string; value: unknown })
        .map(({ name, value }) => [name, value]),
    );
    for (const [name, right] of Object.entries(RIGHT)) {
      const value = came.get(name);
      if (typeof right === 'function') t.true(sanitized || right(value), `${name}: ${String(value)}`);
      // the sanitized program's flows may be over by then
      else if (sanitized && name === 'flows of 1100 clients') t.true((value as boolean[])[1], name);
      else if (sanitized && name === 'confined') t.deepEqual(value, [...(right as string[]).slice(0, -1), '0'], name);
      else t.deepEqual(value, right, name);
    }
    t.deepEqual([...came.keys()].toSorted(), Object.keys(RIGHT).toSorted());
  });

const TARGET: Target = {
  protocol: 'tcp',
  port: 80,
  container: '172.28.0.2',
  gateway: '172.28.0.1',
  prefix: 16,
};

const many = (count: number) => Array.from({ length: count }, () => TARGET);

test('messages: the form of guest/net/net.h, 32 ports each, the last one marked', (t) => {
  const six: Target = { protocol: 'udp', port: 65_535, container: 'fd28::2', gateway: 'fd28::1', prefix: 64 };
  const [first, second, ...rest] = forwarderMessages([...many(32), six], { plain: true });
  t.deepEqual(rest, []);
  t.is(first!.length, 12 + 32 * 40);
  t.is(first!.toString('hex', 0, 12), '484b46570100020020000000');
  t.is(first!.toString('hex', 12, 52), `0406100050000000ac1c0002${'00'.repeat(12)}ac1c0001${'00'.repeat(12)}`);
  t.is(
    second!.toString('hex'),
    `484b4657010003000100000006114000ffff0000fd28${'00'.repeat(13)}02fd28${'00'.repeat(13)}01`,
  );
});

test('messages: more ports than a forwarder takes are refused here, in one line', (t) => {
  t.notThrows(() => forwarderMessages(many(2048)));
  for (const count of [0, 2049])
    t.throws(() => forwarderMessages(many(count)), {
      name: 'HuskError',
      message: `cannot publish ${count} ports: one container has at most 2048`,
    });
  t.throws(() => forwarderMessages([{ ...TARGET, gateway: 'fd28::1' }]), { message: /two families/ });
});
