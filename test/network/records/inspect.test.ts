/** `network inspect` as Docker's JSON: the moment of its making, as Go writes it. */
import test from 'ava';
import type { Network } from '../../../src/network/records/contract.ts';
import { inspectNetwork } from '../../../src/network/records/inspect.ts';

const NETWORK: Network = {
  id: 'a'.repeat(64),
  name: 'mine',
  createdAt: 0,
  driver: 'bridge',
  options: {},
  labels: {},
  internal: false,
  attachable: false,
  ipv4: true,
  ipv6: false,
  ipam: [],
};

for (const [ms, shown] of [
  [1_700_000_000_123, '2023-11-14T22:13:20.123Z'],
  [1_700_000_000_840, '2023-11-14T22:13:20.84Z'],
  [1_700_000_000_500, '2023-11-14T22:13:20.5Z'],
  [1_700_000_000_000, '2023-11-14T22:13:20Z'],
] as const)
  test(`made at ${ms}: ${shown}`, (t) => {
    t.is((inspectNetwork({ ...NETWORK, createdAt: ms }, []) as { Created: string }).Created, shown);
  });
