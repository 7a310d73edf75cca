/** Docker's JSON of `network inspect`: network.Inspect of its Engine API. Shapes only. */
import type { EndpointAddress } from '../../state/containers.ts';
import { nanoseconds, rfc3339 } from '../../state/time.ts';
import type { Network, NetworkMember } from './contract.ts';
import { isPredefined } from './name.ts';

/** By it programs tell the network that every container is on from others: it is shown, and no option to ask for. */
const DEFAULT_BRIDGE = 'com.docker.network.bridge.default_bridge';

export function inspectNetwork(network: Network, members: readonly NetworkMember[]): object {
  const { name, id, driver, ipam } = network;
  return {
    Name: name,
    Id: id,
    Created: rfc3339(nanoseconds(network.createdAt)),
    Scope: 'local',
    Driver: driver,
    EnableIPv4: network.ipv4,
    EnableIPv6: network.ipv6,
    IPAM: {
      Driver: 'default',
      // Docker says null of those that are there from the first
      Options: isPredefined(name) ? null : {},
      Config:
        driver === 'bridge'
          ? ipam.map(({ subnet, range, gateway, auxiliary }) => ({
              Subnet: subnet,
              ...(range !== undefined && { IPRange: range }),
              Gateway: gateway,
              ...(Object.keys(auxiliary).length > 0 && { AuxiliaryAddresses: auxiliary }),
            }))
          : null,
    },
    Internal: network.internal,
    Attachable: network.attachable,
    Ingress: false,
    ConfigFrom: { Network: '' },
    ConfigOnly: false,
    Containers: Object.fromEntries(
      members.map(({ containerId, name: container, endpoint }) => [
        containerId,
        {
          Name: container,
          EndpointID: endpoint?.endpointId ?? '',
          MacAddress: endpoint?.mac ?? '',
          IPv4Address: withPrefix(endpoint?.ipv4),
          IPv6Address: withPrefix(endpoint?.ipv6),
        },
      ]),
    ),
    Options: { ...(name === 'bridge' && { [DEFAULT_BRIDGE]: 'true' }), ...network.options },
    Labels: network.labels,
  };
}

function withPrefix(address: EndpointAddress | undefined): string {
  return address === undefined ? '' : `${address.address}/${address.prefix}`;
}
