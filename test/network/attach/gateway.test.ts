import test from 'ava';
import { gatewayEndpoint } from '../../../src/network/attach/gateway.ts';
import type { EndpointState } from '../../../src/state/containers.ts';

const endpoint = (network: string, gateway?: string): EndpointState => ({
  networkId: network,
  network,
  endpointId: '',
  interface: 'eth0',
  mac: '',
  ipv4: { address: '10.0.0.2', prefix: 24, ...(gateway !== undefined && { gateway }) },
  names: [],
});

const CASES: [what: string, endpoints: EndpointState[], priorities: Record<string, number>, expected?: string][] = [
  ['none', [], {}],
  ['the first by name', [endpoint('b', '10.0.0.1'), endpoint('a', '10.0.0.1')], {}, 'a'],
  ['the highest priority', [endpoint('a', '10.0.0.1'), endpoint('b', '10.0.0.1')], { b: 1 }, 'b'],
  ['never one without a gateway', [endpoint('a'), endpoint('b', '10.0.0.1')], { a: 5 }, 'b'],
  ['internal ones alone', [endpoint('a')], { a: 5 }],
];
for (const [what, endpoints, priorities, expected] of CASES)
  test(what, (t) => {
    t.is(gatewayEndpoint(endpoints, 'ipv4', (id) => priorities[id] ?? 0)?.network, expected);
    t.is(
      gatewayEndpoint(endpoints, 'ipv6', () => 0),
      undefined,
    );
  });
