/**
 * A container's place on a network: a wire from the network's bridge to an interface in the container's namespace, or
 * the tap of a virtual machine, with the rules that let it speak as itself. Nothing here enters a namespace: everything
 * is said over sockets that were made inside. Which addresses a container has is for others to say.
 */
import { causeOf, HuskError } from '../errors.ts';
import type { Fd } from '../host/fd.ts';
import { addressBytes } from '../host/streams/address-bytes.ts';
import { NetlinkError } from '../host/streams/netlink-socket.ts';
import type { Rtnetlink } from '../host/streams/rtnetlink.ts';
import type { NetworkSockets } from './bridge.ts';
import { endpointRules, type EndpointRules } from './rules.ts';

interface EndpointAddress {
  address: string;
  /** bits of the network */
  prefix: number;
  /** of the default route; absent: this network is not the container's way out */
  gateway?: string;
}

export interface Endpoint {
  /** name in the container: 'eth0' */
  interface: string;
  /** name of the bridge's port: 'v…', in the network's namespace */
  port: string;
  mac: string;
  ipv4?: EndpointAddress;
  ipv6?: EndpointAddress;
  /** bytes */
  mtu: number;
  /** it does not reach its neighbours */
  isolated: boolean;
}

/**
 * @param network.bridge the bridge's index
 * @param container.namespace the container's network namespace, whose user namespace must be a child of the network's
 * @returns the index of the container's interface
 * @throws HuskError; nothing of the endpoint is left then
 */
export function attachEndpoint(
  network: NetworkSockets & { bridge: number },
  container: { route: Rtnetlink; namespace: Fd },
  endpoint: Endpoint,
): { index: number } {
  const port = attempt(endpoint, () => addPort(network, container.namespace, endpoint));
  try {
    return attempt(endpoint, () => {
      admit(network, port, endpoint);
      const index = container.route.linkIndex(endpoint.interface);
      if (index === undefined) throw new Error('it did not arrive in the namespace');
      setUpInterface(container.route, index, endpoint);
      return { index };
    });
  } catch (error) {
    detachEndpoint(network, endpoint);
    throw error;
  }
}

/**
 * Makes a tap of the network's namespace a port of its bridge. What is at its other end is a machine's to set up.
 * @throws HuskError; nothing of the endpoint is left then but the tap, which goes with its descriptor
 */
export function attachTap(network: NetworkSockets & { bridge: number }, endpoint: Endpoint): void {
  const { route, bridge } = network;
  try {
    attempt(endpoint, () => {
      const port = route.linkIndex(endpoint.port);
      if (port === undefined) throw new Error('its tap is not there');
      route.setMtu(port, endpoint.mtu);
      route.setMaster(port, bridge);
      admit(network, port, endpoint);
    });
  } catch (error) {
    detachEndpoint(network, endpoint);
    throw error;
  }
}

/**
 * Also of a container that is gone, and more than once. It takes the kernel 15 to 20 ms.
 * @throws NetlinkError
 */
export function detachEndpoint(
  { route, nftables }: NetworkSockets,
  { port, mac, ipv4, ipv6 }: Pick<Endpoint, 'port' | 'mac' | 'ipv4' | 'ipv6'>,
): void {
  const index = route.linkIndex(port);
  if (index !== undefined) route.deleteLink(index);
  endpointRules(rulesOf({ port, mac, ipv4, ipv6 }), 'remove').commit(nftables);
}

/** What the network's rules know of an endpoint; for repairs too (setUpBridge). */
export function rulesOf({ port, mac, ipv4, ipv6 }: Pick<Endpoint, 'port' | 'mac' | 'ipv4' | 'ipv6'>): EndpointRules {
  return { port, mac, ...(ipv4 && { ipv4: ipv4.address }), ...(ipv6 && { ipv6: ipv6.address }) };
}

/** @returns the port's index */
function addPort({ route, bridge }: { route: Rtnetlink; bridge: number }, namespace: Fd, endpoint: Endpoint): number {
  const { port, mac, mtu } = endpoint;
  const peer = { name: endpoint.interface, mac, mtu, namespace: namespace.number };
  return route.addVeth(port, { mtu, master: bridge, peer });
}

/** The port is down until everything about it is settled. */
function admit({ route, nftables }: NetworkSockets, port: number, endpoint: Endpoint): void {
  route.setBridgePort(port, { learning: false, flood: false, isolated: endpoint.isolated });
  route.addForwardingEntry(port, endpoint.mac);
  route.setNoLinkLocal(port);
  endpointRules(rulesOf(endpoint), 'add').commit(nftables);
  route.setUp(port);
}

function setUpInterface(route: Rtnetlink, index: number, { ipv4, ipv6 }: Endpoint): void {
  for (const own of [ipv4, ipv6]) if (own) route.addAddress(index, addressBytes(own.address), own.prefix);
  route.setUp(index);
  if (ipv4?.gateway !== undefined) route.addDefaultRoute(index, { family: 4, gateway: addressBytes(ipv4.gateway) });
  if (ipv6?.gateway !== undefined) route.addDefaultRoute(index, { family: 6, gateway: addressBytes(ipv6.gateway) });
}

function attempt<T>(endpoint: Endpoint, work: () => T): T {
  try {
    return work();
  } catch (error) {
    throw new HuskError(`cannot set up ${endpoint.interface} of the container: ${reason(error)}`, {
      kind: 'internal',
      cause: error,
    });
  }
}

/** The kernel's errno in words, what it was asked, and what else it said. */
function reason(error: unknown): string {
  if (!(error instanceof NetlinkError)) return causeOf(error);
  const { path, detail } = error;
  return `${path}: ${causeOf(error)}${detail === undefined ? '' : ` (${detail})`}`;
}
