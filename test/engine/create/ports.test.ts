import test from 'ava';
import { reachablePorts } from '../../../src/engine/create/ports.ts';
import { container } from '../../cli/fake-context.ts';

for (const [network, status, ports] of [
  ['default', 'running', [{ containerPort: 80, protocol: 'tcp' }]],
  ['mine', 'running', [{ containerPort: 80, protocol: 'tcp' }]],
  ['default', 'exited', []],
  ['none', 'running', []],
  ['host', 'running', []],
] as const)
  test(`an exposed port of a container on ${network}, ${status}`, (t) =>
    t.deepEqual(
      reachablePorts(
        container({
          network,
          config: { exposed: ['80/tcp'], options: { network, expose: [] } as never },
          state: { status },
        }),
      ),
      ports,
    ));

test('published ones stand before those that are exposed alone', (t) => {
  const published = { protocol: 'tcp', hostIp: '0.0.0.0', hostPort: 8080, containerPort: 80 } as const;
  t.deepEqual(
    reachablePorts(
      container({
        config: { exposed: ['80/tcp', '90-91/udp'], options: { network: 'default', expose: [] } as never },
        state: { status: 'running', published: [published] },
      }),
    ),
    [
      { containerPort: 80, protocol: 'tcp', host: { ip: '0.0.0.0', port: 8080 } },
      { containerPort: 90, protocol: 'udp' },
      { containerPort: 91, protocol: 'udp' },
    ],
  );
});
