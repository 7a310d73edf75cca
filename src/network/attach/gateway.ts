/**
 * By which of its networks a container leaves: Docker's order (moby libnetwork's sandbox.go, getGatewayEndpoint). Pure.
 */
import type { EndpointState } from '../../state/containers.ts';

/** @param priority what was asked for, by the network's id */
export function gatewayEndpoint(
  endpoints: readonly EndpointState[],
  family: 'ipv4' | 'ipv6',
  priority: (networkId: string) => number,
): EndpointState | undefined {
  return endpoints
    .filter((endpoint) => endpoint[family]?.gateway !== undefined)
    .toSorted(
      (one, other) => priority(other.networkId) - priority(one.networkId) || (one.network < other.network ? -1 : 1),
    )[0];
}
