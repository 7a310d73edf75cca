import test from 'ava';
import { reachablePorts } from '../../../src/engine/create/ports.ts';
import { container } from '../../cli/fake-context.ts';

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
