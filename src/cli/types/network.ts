/** The type that `docker network inspect` gives templates: network.Inspect of moby 28.2. This module has data only. */
import { bool, field, int, map, omitEmpty, slice, string, STRING_MAP, STRINGS, struct } from '../template/go-types.ts';
import { TIME } from './basics.ts';

const ENDPOINT = struct('network.EndpointResource', {
  Name: string,
  EndpointID: string,
  MacAddress: string,
  IPv4Address: string,
  IPv6Address: string,
});
const IPAM_CONFIG = struct('network.IPAMConfig', {
  Subnet: omitEmpty(string),
  IPRange: omitEmpty(string),
  Gateway: omitEmpty(string),
  AuxAddress: omitEmpty(STRING_MAP, 'AuxiliaryAddresses'),
});
const TASK = struct('network.Task', { Name: string, EndpointID: string, EndpointIP: string, Info: STRING_MAP });

export const NETWORK = struct('network.Inspect', {
  Name: string,
  ID: field('Id', string),
  Created: TIME,
  Scope: string,
  Driver: string,
  EnableIPv4: bool,
  EnableIPv6: bool,
  IPAM: struct('network.IPAM', { Driver: string, Options: STRING_MAP, Config: slice(IPAM_CONFIG) }),
  Internal: bool,
  Attachable: bool,
  Ingress: bool,
  ConfigFrom: struct('network.ConfigReference', { Network: string }),
  ConfigOnly: bool,
  Containers: map(ENDPOINT),
  Options: STRING_MAP,
  Labels: STRING_MAP,
  Peers: omitEmpty(slice(struct('network.PeerInfo', { Name: string, IP: string }))),
  Services: omitEmpty(
    map(struct('network.ServiceInfo', { VIP: string, Ports: STRINGS, LocalLBIndex: int, Tasks: slice(TASK) })),
  ),
});
