/**
 * A container's endpoint put on a network that is open, and taken away again: what records say of it becomes what the
 * kernel has. Chooses no address.
 */
import type { InterfaceSetup } from '../../agent-protocol.ts';
import type { Sockets } from '../../launch/executor.ts';
import type { Fd } from '../../host/fd.ts';
import { HuskError } from '../../errors.ts';
import { addressBytes } from '../../host/streams/address-bytes.ts';
import { Rtnetlink } from '../../host/streams/rtnetlink.ts';
import type { EndpointAddress, EndpointState } from '../../state/containers.ts';
import { attachEndpoint, attachTap, detachEndpoint, type Endpoint } from '../endpoint.ts';
import { networkSettings } from '../records/options.ts';
import type { ActiveNetwork } from './active-network.ts';
import { openTap } from '../tap.ts';
import { portOf } from './port-name.ts';

/** Sockets of a container's network namespace, made by a launch plan's `sockets` step. */
export interface MemberSockets {
  route: Rtnetlink;
  namespace: Fd;
}

/** @throws HuskError when the plan had no such step */
export function memberSockets(sockets: Sockets): MemberSockets {
  const { rtnetlink, 'network-namespace': namespace } = sockets;
  if (!rtnetlink || !namespace) throw new HuskError('husk-init handed no sockets over', { kind: 'internal' });
  return { route: new Rtnetlink(rtnetlink), namespace };
}

/** @param leaves the container's default routes go by this network */
export function attachMember(
  active: ActiveNetwork,
  container: MemberSockets,
  { endpoint, leaves }: { endpoint: EndpointState; leaves: { ipv4: boolean; ipv6: boolean } },
): void {
  attachEndpoint(active.sockets, container, described(active, endpoint, leaves));
}

/**
 * Its place as a machine has it.
 * @returns the machine's end: one Ethernet frame a read and write; with its last copy the place is gone
 * @throws HuskError
 */
export async function plugMember(active: ActiveNetwork, endpoint: EndpointState): Promise<Fd> {
  const tap = await openTap(active, portOf(endpoint.endpointId));
  try {
    attachTap(active.sockets, described(active, endpoint, { ipv4: false, ipv6: false }));
    return tap;
  } catch (error) {
    tap.close();
    throw error;
  }
}

function described(active: ActiveNetwork, endpoint: EndpointState, leaves: { ipv4: boolean; ipv6: boolean }): Endpoint {
  const { mac, ipv4, ipv6 } = endpoint;
  return {
    interface: endpoint.interface,
    port: portOf(endpoint.endpointId),
    mac,
    mtu: active.mtu,
    isolated: !networkSettings(active.network.options).neighbours,
    ...(ipv4 && { ipv4: seen(ipv4, leaves.ipv4) }),
    ...(ipv6 && { ipv6: seen(ipv6, leaves.ipv6) }),
  };
}

/** What the guest's agent makes of it. @param leaves the container's default routes go by this network */
export function interfaceSetup(
  { interface: name, mac, ipv4, ipv6 }: EndpointState,
  mtu: number,
  leaves: { ipv4: boolean; ipv6: boolean },
): InterfaceSetup {
  const routes = [
    { family: 4 as const, gateway: leaves.ipv4 ? ipv4?.gateway : undefined },
    { family: 6 as const, gateway: leaves.ipv6 ? ipv6?.gateway : undefined },
  ];
  return {
    name,
    mac,
    mtu,
    addresses: [ipv4, ipv6].flatMap((own) => (own ? [{ address: own.address, prefix: own.prefix }] : [])),
    defaultRoutes: routes.flatMap(({ family, gateway }) => (gateway === undefined ? [] : [{ family, gateway }])),
  };
}

function seen({ address, prefix, gateway }: EndpointAddress, leaves: boolean): EndpointAddress {
  return { address, prefix, ...(leaves && gateway !== undefined && { gateway }) };
}

/** The container's default route goes by another of its networks from now on. */
export function leaveBy(route: Rtnetlink, endpoint: EndpointState, family: 'ipv4' | 'ipv6'): void {
  const index = route.linkIndex(endpoint.interface);
  const gateway = endpoint[family]?.gateway;
  if (index === undefined || gateway === undefined) return;
  route.addDefaultRoute(index, { family: family === 'ipv4' ? 4 : 6, gateway: addressBytes(gateway) });
}

/** Also when the container is gone, and its end of the wire with it. It takes the kernel 15 to 20 ms. */
export function detachMember(active: ActiveNetwork, { endpointId, mac, ipv4, ipv6 }: EndpointState): void {
  detachEndpoint(active.sockets, { port: portOf(endpointId), mac, ...(ipv4 && { ipv4 }), ...(ipv6 && { ipv6 }) });
}
