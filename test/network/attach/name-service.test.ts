/** A container's name server, outside of the container, asked in there by dig at the address that containers have. */
import { spawnSync } from 'node:child_process';
import test, { type ExecutionContext } from 'ava';
import { startNameService, type NameServiceOptions } from '../../../src/network/attach/name-service.ts';
import { openEndpointSockets } from '../../../src/network/namespace.ts';
import { lease } from '../../../src/network/records/leases.ts';
import { identifySelf } from '../../../src/state/process-identity.ts';
import { network, openRecords } from '../records/fixture.ts';
import { ABLE, CANNOT, namespace } from './container-namespace.ts';

const hasDig = spawnSync('dig', ['-v'], { stdio: 'ignore' }).error === undefined;
const real = ABLE && hasDig ? test : test.skip;
const title = hasDig ? CANNOT : ': needs dig (apt install bind9-dnsutils)';

/** `me` beside `web` on the network `front`. @returns asks in the container, and says what dig printed */
async function service(t: ExecutionContext, more: Partial<NameServiceOptions> = {}) {
  const { database, records } = openRecords();
  const front = network('front');
  records.insert(front);
  for (const containerId of ['me', 'web'])
    lease(database, {
      network: front,
      containerId,
      interface: 'eth0',
      wanted: {},
      names: [containerId],
      claim: identifySelf(),
    });
  const container = await namespace(t);
  const asked: string[] = [];
  const sockets = await openEndpointSockets(container.pid);
  const own = startNameService(sockets, {
    database,
    containerId: 'me',
    resolvers: [{ address: '192.0.2.53', from: 'container' }],
    ndotsSet: false,
    forward: false,
    makeSocket: async (kind, family) => {
      asked.push(`${kind}${family}`);
      throw new Error('no socket');
    },
    problem: (error) => t.fail(String(error)),
    ...more,
  });
  t.teardown(() => {
    own.close();
    for (const kind of ['rtnetlink', 'netfilter', 'network-namespace'] as const) sockets[kind]?.close();
  });
  const dig = (words: string) => container.run(`dig -r @127.0.0.11 +tries=1 +time=60 ${words}`);
  const status = async (words: string) => /status: (\w+)/.exec(await dig(words))?.[1];
  return { dig, status, asked, close: () => own.close() };
}

for (const [question, expected] of [
  ['web', '10.0.0.3'],
  ['+tcp WEB', '10.0.0.3'],
  ['web.front', '10.0.0.3'],
  ['me', '10.0.0.2'],
  ['-x 10.0.0.3', 'web.front.'],
  ['web AAAA', ''],
] as const)
  real(`names of its networks: ${question}${title}`, async (t) => {
    const { dig, asked } = await service(t);
    t.is(await dig(`+short ${question}`), expected === '' ? '' : `${expected}\n`);
    t.deepEqual(asked, []);
  });

for (const [way, sockets] of [
  ['', ['udp4']],
  ['+tcp', ['tcp4']],
] as const)
  real(`a resolver of --dns is asked from the container, on internal networks too ${way}${title}`, async (t) => {
    const { status, asked } = await service(t);
    t.is(await status(`${way} example.org`), 'SERVFAIL');
    t.deepEqual(asked, sockets);
  });

real(`rules decide what is known and what is asked for${title}`, async (t) => {
  const wanted: string[] = [];
  const { status, dig, asked } = await service(t, {
    forward: true,
    egress: {
      namesOf: (source) => ({
        ...source,
        lookup: (name, asker) => (name === 'me' ? source.lookup(name, asker) : undefined),
      }),
      policy: () => ({
        maxTtl: 60,
        allow: (name) => {
          wanted.push(name);
          return false;
        },
        onAnswer: async (_name, addresses) => addresses,
      }),
    },
  });
  t.is(await dig('+short me'), '10.0.0.2\n');
  t.is(await status('web'), 'NXDOMAIN');
  t.is(await status('example.org'), 'NXDOMAIN');
  t.deepEqual([wanted, asked], [['web', 'example.org'], []]);
});

real(`who has closed it answers nobody${title}`, async (t) => {
  const { dig, close } = await service(t);
  close();
  t.regex(await dig('+time=1 web'), /connection refused|no servers could be reached|timed out/);
});
