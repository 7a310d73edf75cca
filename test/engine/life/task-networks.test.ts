import test from 'ava';
import { askedFromHost, portMappings } from '../../../src/engine/life/task-networks.ts';

const bound = (container: string, hostPort = '', hostIp = '') => ({ container, hostPort, hostIp });

test('ports as they are bound', (t) =>
  t.deepEqual(
    portMappings(
      {
        publish: [bound('80/tcp', '8080'), bound('53/udp', '', '127.0.0.1'), bound('7/tcp', '8000-8010')],
        publishAll: false,
      },
      ['90/tcp'],
    ),
    [
      { protocol: 'tcp', containerPort: 80, hostAddress: '', hostPorts: { first: 8080, last: 8080 } },
      { protocol: 'udp', containerPort: 53, hostAddress: '127.0.0.1' },
      { protocol: 'tcp', containerPort: 7, hostAddress: '', hostPorts: { first: 8000, last: 8010 } },
    ],
  ));

test('with --publish-all what is exposed and not published already, each port of a range', (t) =>
  t.deepEqual(
    portMappings({ publish: [bound('80/tcp', '8080')], publishAll: true }, ['80/tcp', '90-91/udp', '5/sctp']).slice(1),
    [
      { protocol: 'udp', containerPort: 90, hostAddress: '' },
      { protocol: 'udp', containerPort: 91, hostAddress: '' },
    ],
  ));

test('with rules resolvers are asked from the host', (t) =>
  t.deepEqual(
    askedFromHost([
      { address: '127.0.0.53', from: 'host' },
      { address: '192.0.2.53', from: 'container' },
    ]),
    [
      { address: '127.0.0.53', from: 'host' },
      { address: '192.0.2.53', from: 'host' },
    ],
  ));

for (const address of ['127.0.0.1', '127.9.9.9', '::1', '0:0:0:0:0:0:0:1', '::ffff:127.0.0.1', '::ffff:7f00:1'])
  test(`a container that is its own resolver, ${address}, lets nothing through its rules`, (t) => {
    const error = t.throws(() => askedFromHost([{ address, from: 'container' }]));
    t.is(error?.message, `--egress: the resolver ${address} is the container itself, which has no say in its rules`);
  });
