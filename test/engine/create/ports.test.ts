import test from 'ava';
import { displayPorts, reachablePorts } from '../../../src/engine/create/ports.ts';
import { container } from '../../cli/fake-context.ts';

for (const [ports, shown] of [
  [[], ''],
  [['80/tcp'], '80/tcp'],
  [['90/udp', '80/tcp', '92/udp', '91/udp', '91/tcp'], '80/tcp, 90-92/udp, 91/tcp'],
  [['8080/tcp', '443/tcp', '8081/tcp'], '443/tcp, 8080-8081/tcp'],
] as const)
  test(`PORTS of ${ports.join(' ')}`, (t) => t.is(displayPorts(ports), shown));

for (const [network, status, ports] of [
  ['default', 'running', ['80/tcp']],
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
