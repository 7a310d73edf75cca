/**
 * NetworkSettings of Docker's `inspect`: what a container is to be on, and what it has there while it runs. Shapes
 * only.
 */
import type { WantedEndpoint } from '../../network/records/contract.ts';
import { NetworkRecords } from '../../network/records/records.ts';
import type { EndpointState } from '../../state/containers.ts';
import type { Container } from '../contract.ts';
import { reachablePorts } from '../create/ports.ts';
import type { EngineContext } from '../record/context.ts';

export function networkSettings(context: EngineContext, container: Container): object {
  const { state } = container;
  const endpoints = state.endpoints ?? [];
  const wanted = new NetworkRecords(context.database).wantedBy(container.id);
  return {
    Bridge: '',
    SandboxID: '',
    SandboxKey: state.pid > 0 ? `/proc/${state.pid}/ns/net` : '',
    Ports: portMap(container),
    HairpinMode: false,
    LinkLocalIPv6Address: '',
    LinkLocalIPv6PrefixLen: 0,
    SecondaryIPAddresses: null,
    SecondaryIPv6Addresses: null,
    // of the default network, as in the days when there was one
    ...addresses(endpoints.find(({ network }) => network === 'bridge')),
    Networks: endpointMap(wanted, endpoints),
  };
}

/** Docker's EndpointSettings of each network that a container is to be on, by its name. */
export function endpointMap(
  wanted: readonly WantedEndpoint[],
  endpoints: readonly EndpointState[],
): Record<string, EndpointSettings> {
  return Object.fromEntries(
    wanted.map((each) => [
      each.network,
      endpointSettings(
        each,
        endpoints.find(({ networkId }) => networkId === each.networkId),
      ),
    ]),
  );
}

/** `80/tcp` → where it is published, null where it is not */
function portMap(container: Container): Record<string, object[] | null> {
  const map: Record<string, object[] | null> = {};
  for (const { containerPort, protocol, host } of reachablePorts(container)) {
    const key = `${containerPort}/${protocol}`;
    if (host) (map[key] ??= []).push({ HostIp: host.ip, HostPort: String(host.port) });
    else map[key] ??= null;
  }
  return map;
}

function addresses(endpoint: EndpointState | undefined) {
  return {
    EndpointID: endpoint?.endpointId ?? '',
    Gateway: endpoint?.ipv4?.gateway ?? '',
    GlobalIPv6Address: endpoint?.ipv6?.address ?? '',
    GlobalIPv6PrefixLen: endpoint?.ipv6?.prefix ?? 0,
    IPAddress: endpoint?.ipv4?.address ?? '',
    IPPrefixLen: endpoint?.ipv4?.prefix ?? 0,
    IPv6Gateway: endpoint?.ipv6?.gateway ?? '',
    MacAddress: endpoint?.mac ?? '',
  };
}

interface EndpointSettings {
  NetworkID: string;
  [name: string]: unknown;
}

function endpointSettings(
  { networkId, wanted }: WantedEndpoint,
  endpoint: EndpointState | undefined,
): EndpointSettings {
  const { ipv4, ipv6, links, aliases, driverOptions, gatewayPriority = 0 } = wanted;
  const isAsked = ipv4 !== undefined || ipv6 !== undefined;
  return {
    IPAMConfig: isAsked
      ? { ...(ipv4 !== undefined && { IPv4Address: ipv4 }), ...(ipv6 !== undefined && { IPv6Address: ipv6 }) }
      : null,
    Links: links ?? null,
    Aliases: aliases ?? null,
    DriverOpts: driverOptions ?? null,
    GwPriority: gatewayPriority,
    ...addresses(endpoint),
    // before the first start too, where it was asked for
    MacAddress: endpoint?.mac ?? wanted.mac ?? '',
    NetworkID: endpoint ? networkId : '',
    // on the default network nobody is found by name
    DNSNames: endpoint && endpoint.names.length > 0 ? endpoint.names : null,
  };
}
