/**
 * Links, addresses, routes and bridge ports by rtnetlink(7): of one network namespace, each request acknowledged before
 * the call returns. Interfaces go by their index, MAC addresses as text, IP addresses as bytes (address-bytes.ts).
 * Numbers are of include/uapi/linux/{rtnetlink,if_link,if_addr,if,neighbour,if_bridge,fib_rules,veth}.h. Which links
 * there are to be is for others to say.
 */
import { constants } from 'node:os';
import type { Fd } from '../fd.ts';
import { AF_INET, AF_INET6, addressFamily, macBytes } from './address-bytes.ts';
import { attribute, nested, u32, u8 } from './netlink-attributes.ts';
import { NetlinkError, NetlinkSocket } from './netlink-socket.ts';
import {
  broadcast,
  IFLA_ADDRESS,
  IFLA_IFNAME,
  IFLA_MASTER,
  IFLA_MTU,
  interfaceName,
  kernelFamily,
  linkKind,
  linkMessage,
  readLink,
  routeMessage,
  type AddressFamily,
  type LinkInfo,
} from './rtnetlink-messages.ts';

const AF_BRIDGE = 7;

const NLM_F_REPLACE = 0x100;
const NLM_F_EXCL = 0x200;
const NLM_F_CREATE = 0x400;

const RTM_NEWLINK = 16;
const RTM_DELLINK = 17;
const RTM_GETLINK = 18;
const RTM_SETLINK = 19;
const RTM_NEWADDR = 20;
const RTM_NEWROUTE = 24;
const RTM_DELROUTE = 25;
const RTM_NEWNEIGH = 28;
const RTM_NEWRULE = 32;

const IFLA_PROTINFO = 12;
const IFLA_NET_NS_PID = 19;
const IFLA_AF_SPEC = 26;
const IFLA_NET_NS_FD = 28;
const IFLA_EXT_MASK = 29;
/** answers without counters, which are most of their bytes */
const RTEXT_FILTER_SKIP_STATS = 8;
const IFLA_INFO_DATA = 2;
const IFLA_INET6_ADDR_GEN_MODE = 8;
const IN6_ADDR_GEN_MODE_NONE = 1;
const VETH_INFO_PEER = 1;

/** clock ticks; a port forwards at once, for no spanning tree could find a loop */
const IFLA_BR_FORWARD_DELAY = 1;
const IFLA_BR_STP_STATE = 5;
const IFLA_BR_MCAST_SNOOPING = 23;
const IFLA_BRPORT_LEARNING = 8;
const IFLA_BRPORT_UNICAST_FLOOD = 9;
const IFLA_BRPORT_ISOLATED = 33;

const NDA_LLADDR = 2;
/** never learned anew, never forgotten; with NUD_PERMANENT it would be an address of the bridge itself */
const NUD_NOARP = 0x40;
/** the bridge's table, not the interface's own */
const NTF_MASTER = 4;

const IFA_ADDRESS = 1;
const IFA_LOCAL = 2;
const IFA_FLAGS = 8;
/** whoever gave the address vouches that nobody else has it: usable at once (RFC 4862 §5.4) */
const IFA_F_NODAD = 2;

const RTA_OIF = 4;
const RTA_GATEWAY = 5;
const RTA_TABLE = 15;
const RT_TABLE_UNSPEC = 0;
const RT_SCOPE_UNIVERSE = 0;
const RT_SCOPE_LINK = 253;
const RT_SCOPE_HOST = 254;
const RT_SCOPE_NOWHERE = 255;
const RTN_UNSPEC = 0;
const RTN_UNICAST = 1;
const RTN_LOCAL = 2;
const RTNH_F_ONLINK = 4;

const FR_ACT_TO_TBL = 1;
const FRA_PRIORITY = 6;
const FRA_FWMARK = 10;
const FRA_TABLE = 15;

const { EAFNOSUPPORT, ENODEV, ENOENT, EEXIST, ESRCH } = constants.errno;

export class Rtnetlink implements Disposable {
  readonly #socket: NetlinkSocket;

  /** @param fd a rtnetlink socket, of whatever namespace; closed with this object @throws SyscallError */
  constructor(fd: Fd) {
    this.#socket = new NetlinkSocket(fd, 'rtnetlink');
  }

  /** Of the network namespace this thread is in. @throws SyscallError */
  static open(): Rtnetlink {
    return new Rtnetlink(NetlinkSocket.make('rtnetlink'));
  }

  /** @returns undefined when there is none of that name @throws NetlinkError */
  linkIndex(name: string): number | undefined {
    return this.#link(linkMessage(0), attribute(IFLA_IFNAME, interfaceName(name)), name)?.index;
  }

  /** @returns undefined when there is none (any more) @throws NetlinkError */
  link(index: number): LinkInfo | undefined {
    return this.#link(linkMessage(index), new Uint8Array(), `${index}`);
  }

  /** All of the namespace. @throws NetlinkError */
  links(): LinkInfo[] {
    const body = [linkMessage(0), attribute(IFLA_EXT_MASK, u32(RTEXT_FILTER_SKIP_STATS))];
    return this.#socket.dump({ type: RTM_GETLINK, body, asked: 'list links' }).map(readLink);
  }

  /**
   * A bridge without spanning tree, and without a look into its members' multicast messages: multicast goes to every
   * port, and none can claim to be the router that decides about it. @returns its index @throws NetlinkError
   */
  addBridge(name: string, { mtu, mac }: { mtu: number; mac: string }): number {
    const data = [
      attribute(IFLA_BR_FORWARD_DELAY, u32(0)),
      attribute(IFLA_BR_STP_STATE, u32(0)),
      attribute(IFLA_BR_MCAST_SNOOPING, u8(0)),
    ];
    return this.#addLink(name, [
      attribute(IFLA_MTU, u32(mtu)),
      attribute(IFLA_ADDRESS, macBytes(mac)),
      linkKind('bridge', nested(IFLA_INFO_DATA, ...data)),
    ]);
  }

  /**
   * Two ends of a wire: one here, as a port of `master`, the other made in another namespace with its name and address.
   * Both are down. @param end.peer.namespace descriptor of it @returns the near end's index @throws NetlinkError
   */
  addVeth(
    name: string,
    end: { mtu: number; master: number; peer: { name: string; mac: string; mtu: number; namespace: number } },
  ): number {
    const { peer } = end;
    const far = [
      linkMessage(0),
      attribute(IFLA_IFNAME, interfaceName(peer.name)),
      attribute(IFLA_MTU, u32(peer.mtu)),
      attribute(IFLA_ADDRESS, macBytes(peer.mac)),
      attribute(IFLA_NET_NS_FD, u32(peer.namespace)),
    ];
    return this.#addLink(name, [
      attribute(IFLA_MTU, u32(end.mtu)),
      attribute(IFLA_MASTER, u32(end.master)),
      linkKind('veth', nested(IFLA_INFO_DATA, nested(VETH_INFO_PEER, ...far))),
    ]);
  }

  /** @throws NetlinkError when it is no port of a bridge */
  setBridgePort(index: number, port: { learning: boolean; flood: boolean; isolated: boolean }): void {
    const options = [
      attribute(IFLA_BRPORT_LEARNING, u8(Number(port.learning))),
      attribute(IFLA_BRPORT_UNICAST_FLOOD, u8(Number(port.flood))),
      attribute(IFLA_BRPORT_ISOLATED, u8(Number(port.isolated))),
    ];
    const body = [linkMessage(index, { family: AF_BRIDGE }), nested(IFLA_PROTINFO, ...options)];
    this.#socket.request({ type: RTM_SETLINK, body, asked: `set bridge port ${index}` });
  }

  /** What is for this MAC address leaves the bridge by this port, whatever comes from where. @throws NetlinkError */
  addForwardingEntry(index: number, mac: string): void {
    const message = Buffer.alloc(12); // struct ndmsg: family, padding, index, state, flags, type
    message[0] = AF_BRIDGE;
    message.writeInt32LE(index, 4);
    message.writeUInt16LE(NUD_NOARP, 8);
    message[10] = NTF_MASTER;
    const body = [message, attribute(NDA_LLADDR, macBytes(mac))];
    const flags = NLM_F_CREATE | NLM_F_REPLACE;
    this.#socket.request({ type: RTM_NEWNEIGH, flags, body, asked: `add ${mac} to bridge port ${index}` });
  }

  /** @param master of a bridge; 0: of none any more @throws NetlinkError */
  setMaster(index: number, master: number): void {
    this.#setLink(index, [attribute(IFLA_MASTER, u32(master))], `make link ${index} a port of ${master}`);
  }

  /**
   * No IPv6 address of its own making: a port needs none, and would tell its neighbours of it. @returns false when it
   * can have none in any case: a kernel without IPv6, an MTU below 1280 bytes @throws NetlinkError
   */
  setNoLinkLocal(index: number): boolean {
    const mode = nested(AF_INET6, attribute(IFLA_INET6_ADDR_GEN_MODE, u8(IN6_ADDR_GEN_MODE_NONE)));
    return this.#unless([EAFNOSUPPORT], () =>
      this.#setLink(index, [nested(IFLA_AF_SPEC, mode)], `keep link ${index} without address`),
    );
  }

  /** @throws NetlinkError */
  setUp(index: number): void {
    const body = [linkMessage(index, { up: true })];
    this.#socket.request({ type: RTM_NEWLINK, body, asked: `set link ${index} up` });
  }

  /** @throws NetlinkError */
  setName(index: number, name: string): void {
    this.#setLink(index, [attribute(IFLA_IFNAME, interfaceName(name))], `name link ${index} ${name}`);
  }

  /** @param mac of an interface that is down @throws NetlinkError */
  setAddress(index: number, mac: string): void {
    this.#setLink(index, [attribute(IFLA_ADDRESS, macBytes(mac))], `set the address of link ${index} to ${mac}`);
  }

  /** @param mtu bytes @throws NetlinkError */
  setMtu(index: number, mtu: number): void {
    this.#setLink(index, [attribute(IFLA_MTU, u32(mtu))], `set the MTU of link ${index} to ${mtu}`);
  }

  /**
   * To the network namespace of a process, where it is called `name`. The interface arrives down and without addresses.
   * @throws NetlinkError
   */
  moveLink(index: number, pid: number, name: string): void {
    const parts = [attribute(IFLA_NET_NS_PID, u32(pid)), attribute(IFLA_IFNAME, interfaceName(name))];
    this.#setLink(index, parts, `move link ${index} to process ${pid} as ${name}`);
  }

  /** Takes 15 to 20 ms, for which the kernel waits. @returns false when it was gone already @throws NetlinkError */
  deleteLink(index: number): boolean {
    const request = { type: RTM_DELLINK, body: [linkMessage(index)], asked: `delete link ${index}` };
    return this.#unless([ENODEV], () => this.#socket.request(request));
  }

  /** @param prefix bits of the network @throws NetlinkError */
  addAddress(index: number, address: Uint8Array, prefix: number): void {
    const message = Buffer.alloc(8); // struct ifaddrmsg: family, prefix, flags, scope, index
    message[0] = addressFamily(address);
    message[1] = prefix;
    message.writeUInt32LE(index, 4);
    const own =
      addressFamily(address) === AF_INET
        ? [attribute(IFA_LOCAL, address), ...broadcast(address, prefix)]
        : [attribute(IFA_FLAGS, u32(IFA_F_NODAD))];
    const body = [message, attribute(IFA_ADDRESS, address), ...own];
    const flags = NLM_F_CREATE | NLM_F_REPLACE;
    this.#socket.request({ type: RTM_NEWADDR, flags, body, asked: `add an address to link ${index}` });
  }

  /**
   * @param gateway absent: everything is on the link @param options.onLink the gateway is reached directly, whatever
   * the addresses say @throws NetlinkError
   */
  addDefaultRoute(index: number, route: { family: AddressFamily; gateway?: Uint8Array; onLink?: boolean }): void {
    const { family, gateway, onLink } = route;
    const scope = gateway === undefined ? RT_SCOPE_LINK : RT_SCOPE_UNIVERSE;
    const message = routeMessage(family, { scope, type: RTN_UNICAST, flags: onLink ? RTNH_F_ONLINK : 0 });
    const way = gateway === undefined ? [] : [attribute(RTA_GATEWAY, gateway)];
    this.#socket.request({
      type: RTM_NEWROUTE,
      flags: NLM_F_CREATE | NLM_F_REPLACE,
      body: [message, attribute(RTA_OIF, u32(index)), ...way],
      asked: `add default route by link ${index}`,
    });
  }

  /** @returns false when there was none by this link @throws NetlinkError */
  removeDefaultRoute(index: number, family: AddressFamily): boolean {
    const message = routeMessage(family, { scope: RT_SCOPE_NOWHERE, type: RTN_UNSPEC, protocol: 0 });
    const body = [message, attribute(RTA_OIF, u32(index))];
    const asked = `remove default route by link ${index}`;
    // the second where the version has no routes at all
    return this.#unless([ESRCH, ENOENT], () => this.#socket.request({ type: RTM_DELROUTE, body, asked }));
  }

  /** What bears a mark is routed by a table of its own. @returns false when there is such a rule already */
  addRule(rule: { family: AddressFamily; mark: number; table: number; priority: number }): boolean {
    const message = Buffer.alloc(12); // struct fib_rule_hdr: family, lengths, tos, table, reserved, action, flags
    message[0] = kernelFamily(rule.family);
    message[4] = RT_TABLE_UNSPEC;
    message[7] = FR_ACT_TO_TBL;
    const body = [
      message,
      attribute(FRA_PRIORITY, u32(rule.priority)),
      attribute(FRA_FWMARK, u32(rule.mark)),
      attribute(FRA_TABLE, u32(rule.table)),
    ];
    const request = {
      type: RTM_NEWRULE,
      flags: NLM_F_CREATE | NLM_F_EXCL,
      body,
      asked: `add rule for mark ${rule.mark}`,
    };
    return this.#unless([EEXIST], () => this.#socket.request(request));
  }

  /** In this table every address is one of the machine itself. @throws NetlinkError */
  addLocalRoute(route: { family: AddressFamily; index: number; table: number }): void {
    const message = routeMessage(route.family, { scope: RT_SCOPE_HOST, type: RTN_LOCAL, table: RT_TABLE_UNSPEC });
    this.#socket.request({
      type: RTM_NEWROUTE,
      flags: NLM_F_CREATE | NLM_F_REPLACE,
      body: [message, attribute(RTA_OIF, u32(route.index)), attribute(RTA_TABLE, u32(route.table))],
      asked: `add local route to table ${route.table}`,
    });
  }

  #addLink(name: string, parts: readonly Uint8Array[]): number {
    const body = [linkMessage(0), attribute(IFLA_IFNAME, interfaceName(name)), ...parts];
    this.#socket.request({ type: RTM_NEWLINK, flags: NLM_F_CREATE | NLM_F_EXCL, body, asked: `add link ${name}` });
    const index = this.linkIndex(name);
    if (index === undefined) throw new NetlinkError('rtnetlink', ENODEV, `find link ${name}`);
    return index;
  }

  #setLink(index: number, parts: readonly Uint8Array[], asked: string): void {
    this.#socket.request({ type: RTM_NEWLINK, body: [linkMessage(index), ...parts], asked });
  }

  #link(message: Uint8Array, by: Uint8Array, asked: string): LinkInfo | undefined {
    const body = [message, by, attribute(IFLA_EXT_MASK, u32(RTEXT_FILTER_SKIP_STATS))];
    let found: LinkInfo | undefined;
    this.#unless(
      [ENODEV],
      () => (found = readLink(this.#socket.get({ type: RTM_GETLINK, body, asked: `find link ${asked}` }))),
    );
    return found;
  }

  /** @returns whether it was done; false for these errnos @throws NetlinkError for any other */
  #unless(errnos: readonly number[], work: () => unknown): boolean {
    try {
      work();
      return true;
    } catch (error) {
      if (error instanceof NetlinkError && errnos.includes(error.errno)) return false;
      throw error;
    }
  }

  [Symbol.dispose](): void {
    this.#socket[Symbol.dispose]();
  }
}
