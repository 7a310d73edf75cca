/**
 * The rules of `--egress` of one container that runs: in force on each of its networks before its interface is there,
 * kept as neighbours come and go and names are asked for, and taken away at its end. It says what the container's name
 * server may answer, and keeps what was refused. Loaded only for containers that have rules.
 */
import type { DatabaseSync } from 'node:sqlite';
import { constants, networkInterfaces } from 'node:os';
import { causeOf } from '../../errors.ts';
import { NetlinkError } from '../../host/streams/netlink-socket.ts';
import type { LoggedPacket, PacketLog } from '../../host/streams/packet-log.ts';
import { parseEgress } from '../../notation/egress.ts';
import type { EndpointState } from '../../state/containers.ts';
import type { NetfilterSocket } from '../../host/streams/nftables.ts';
import type { Fd } from '../../host/fd.ts';
import type { Network } from '../records/contract.ts';
import type { ActiveNetwork } from './active-network.ts';
import { bridgeMac } from './bridge-mac.ts';
import { portOf } from './port-name.ts';
import { bytesOfAddress } from '../names/address.ts';
import type { NameSource } from '../names/answer.ts';
import type { AnswerPolicy } from '../names/kept-answer.ts';
import { Pace } from '../names/pace.ts';
import { neighboursNamed } from '../records/names.ts';
import { admitEgress, changeNeighbours, pinAddresses, WORDS, type EgressMember } from '../egress/filter.ts';
import { groupRules, isNamed, mayAsk, type Egress } from '../egress/grouping.ts';
import { Neighbours } from '../egress/neighbours.ts';
import { readPacketHead, type PacketHead } from '../egress/packet.ts';
import { MAX_TTL, Pins } from '../egress/pins.ts';
import { addressOf } from '../egress/ranges.ts';
import { REASONS, RefusalLog, spoofedBy, type Refusal } from '../egress/refusals.ts';
import { removeEgress } from '../egress/removal.ts';

/** names that are refused and told of: a second, and at once; of packets the kernel counts (filter.ts) */
const TOLD = { each: 10, burst: 20 };

/** What of a network its rules are made by. */
export interface EgressNetwork {
  readonly network: Network;
  readonly sockets: { readonly nftables: NetfilterSocket };
}

/** One by which another process goes on to tell what is refused. */
export interface HandedLog {
  group: number;
  /** whoever has it closes it */
  socket: Fd;
}

export interface ContainerEgressOptions<Of extends EgressNetwork> {
  containerId: string;
  /** of `--egress`, as typed */
  rules: readonly string[];
  database: DatabaseSync;
  /** containers/<id>, where refusals are kept */
  folder: string;
  /** @param first the group that is tried first @returns undefined where refusals are told nobody */
  openLog(active: Of, first: number, told: (packet: LoggedPacket) => void): Promise<PacketLog | undefined>;
  /** told of what went wrong without ending the container */
  problem(text: string): void;
}

interface Place<Of extends EgressNetwork> {
  active: Of;
  endpoint: EndpointState;
  port: string;
  log: PacketLog | undefined;
}

export class ContainerEgress<Of extends EgressNetwork = ActiveNetwork> {
  readonly #options: ContainerEgressOptions<Of>;
  readonly #egress: Egress;
  readonly #pins: Pins;
  readonly #neighbours: Neighbours;
  readonly #refusals: RefusalLog;
  /** by the network's id */
  readonly #places = new Map<string, Place<Of>>();
  readonly #told = new Pace(TOLD);
  #isBroken = false;

  constructor(options: ContainerEgressOptions<Of>) {
    this.#options = options;
    const { database, containerId, folder } = options;
    this.#egress = groupRules(parseEgress(options.rules), hostAddresses());
    this.#refusals = new RefusalLog(folder);
    this.#pins = new Pins(this.#egress, {
      apply: (pins) => {
        for (const { active, port } of this.#places.values()) pinAddresses(port, pins).commit(active.sockets.nftables);
      },
      cut: (name, reason) => this.#refusedName(name, reason),
    });
    this.#neighbours = new Neighbours({
      groups: this.#egress.groups,
      find: (networkId, name) => {
        const { network } = this.#places.get(networkId)!.active;
        return neighboursNamed(database, network, { name, asker: containerId });
      },
      apply: (networkId, changes) => {
        const { active, port } = this.#places.get(networkId)!;
        changeNeighbours(port, changes).commit(active.sockets.nftables);
      },
      database: database.location()!,
      problem: (error) => this.#problem(`neighbours that rules name: ${causeOf(error)}`),
    });
  }

  /** Before the container has an interface there; again when the network was mended. @throws NetlinkError */
  async admit(active: Of, endpoint: EndpointState): Promise<void> {
    const networkId = active.network.id;
    const port = portOf(endpoint.endpointId);
    const log = this.#places.get(networkId)?.log ?? (await this.#openLog(active, endpoint));
    const place: Place<Of> = { active, endpoint, port, log };
    this.#places.set(networkId, place);
    const member = {
      port,
      mac: endpoint.mac,
      ...(endpoint.ipv4 && { ipv4: endpoint.ipv4.address }),
      ...(endpoint.ipv6 && { ipv6: endpoint.ipv6.address }),
      gatewayMac: bridgeMac(active.network),
    };
    this.#admit(place, member);
    pinAddresses(port, this.#pins.live()).commit(active.sockets.nftables);
    this.#neighbours.add(networkId);
  }

  /** Where the kernel has not what it takes to tell of refusals (nft_log, nft_limit), they are told nobody. */
  #admit(place: Place<Of>, member: Omit<EgressMember, 'logGroup'>): void {
    const { active, log } = place;
    const commit = (more: Pick<EgressMember, 'logGroup'>) => {
      for (const batch of admitEgress(this.#egress, { ...member, ...more })) batch.commit(active.sockets.nftables);
    };
    try {
      commit(log ? { logGroup: log.group } : {});
    } catch (error) {
      if (!log || !(error instanceof NetlinkError) || error.errno !== constants.errno.ENOENT) throw error;
      log[Symbol.dispose]();
      place.log = undefined;
      commit({});
      this.#notLogged(active, error);
    }
  }

  #notLogged({ network }: Of, error: unknown): void {
    this.#options.problem(`what --egress refuses on ${network.name} is not logged: ${causeOf(error)}`);
  }

  async #openLog(active: Of, endpoint: EndpointState): Promise<PacketLog | undefined> {
    try {
      // anywhere: neighbours begin at other places
      const first = Number.parseInt(endpoint.endpointId.slice(0, 4), 16);
      return await this.#options.openLog(active, first, (packet) => this.#refusedPacket(active, packet));
    } catch (error) {
      this.#notLogged(active, error);
      return undefined;
    }
  }

  /** After its interface is gone. @throws NetlinkError */
  withdraw(active: Pick<Of, 'network' | 'sockets'>): void {
    const place = this.#places.get(active.network.id);
    if (!place) return;
    this.#places.delete(active.network.id);
    this.#neighbours.forget(active.network.id);
    place.log?.[Symbol.dispose]();
    removeEgress(active.sockets.nftables, (port) => port === place.port);
  }

  /** What the container's name server may say of its networks: only what it may reach. */
  namesOf(source: NameSource): NameSource {
    const own = () =>
      [...this.#places.values()].flatMap(({ endpoint: { ipv4, ipv6 } }) => [ipv4?.address, ipv6?.address]);
    const isOpen = (text: string) =>
      this.#neighbours.has(text) || own().includes(text) || isNamed(this.#egress, addressOf(bytesOfAddress(text)!));
    return {
      lookup: (name, asker) => {
        const found = source.lookup(name, asker);
        if (!found) return undefined;
        // one who came just now is let through before his address is told
        this.#neighbours.update();
        const open = { ipv4: found.ipv4.filter(isOpen), ipv6: found.ipv6.filter(isOpen) };
        return open.ipv4.length + open.ipv6.length > 0 ? open : undefined;
      },
      reverse: (address, asker) => {
        this.#neighbours.update();
        return isOpen(address) ? source.reverse(address, asker) : undefined;
      },
    };
  }

  /** @param source all that the container's networks know */
  policy(source: NameSource): AnswerPolicy {
    return {
      maxTtl: MAX_TTL,
      allow: (name) => {
        // a name of a neighbour is nobody's business outside, and a single label is never a name of DNS
        const isAllowed =
          name.includes('.') && mayAsk(this.#egress, name) && !source.lookup(name, this.#options.containerId);
        if (!isAllowed) this.#refusedName(name, REASONS.name);
        return isAllowed;
      },
      onAnswer: async (name, addresses) => this.#pins.onAnswer(name, addresses),
    };
  }

  #refusedPacket({ network }: Of, { word, bytes }: LoggedPacket): void {
    const head = readPacketHead(bytes);
    // what every system says by itself, on a network without IPv6 as well: no attempt at anything
    if (!head || isAnnouncement(head)) return;
    const { protocol, destination, port } = head;
    const reason = word === WORDS.spoofed ? spoofedBy(head.source) : REASONS.address;
    this.#tell({ network: network.name, protocol, destination, ...(port !== undefined && { port }), reason });
  }

  #refusedName(name: string, reason: string): void {
    if (this.#told.take()) this.#tell({ protocol: 'dns', destination: name, reason });
  }

  #tell(refusal: Omit<Refusal, 'time'>): void {
    try {
      this.#refusals.write({ time: Date.now(), ...refusal });
    } catch (error) {
      this.#problem(`what --egress refused: ${causeOf(error)}`);
    }
  }

  /** Once: a container may cause it as often as it likes. */
  #problem(text: string): void {
    if (!this.#isBroken) this.#options.problem(text);
    this.#isBroken = true;
  }

  /**
   * Another process goes on with it, by rules that are in force already. Nothing is changed or told here any more.
   * @returns the logs, by the network's id
   */
  handOver(): Map<string, HandedLog> {
    this.#neighbours.close();
    const logs = [...this.#places].flatMap(([networkId, place]): [string, HandedLog][] => {
      const { log } = place;
      place.log = undefined;
      return log ? [[networkId, { group: log.group, socket: log.release() }]] : [];
    });
    return new Map(logs);
  }

  /** Nothing is changed or told any more. The filter stays until `withdraw`. */
  close(): void {
    this.#neighbours.close();
    for (const { log } of this.#places.values()) log?.[Symbol.dispose]();
  }
}

/** RFC 4861, RFC 3810: ICMPv6 to groups, from an address of one link or none. */
function isAnnouncement({ protocol, source, destination }: PacketHead): boolean {
  return protocol === 'icmpv6' && destination.startsWith('ff') && /^(::$|fe[89ab])/.test(source);
}

function hostAddresses(): string[] {
  return Object.values(networkInterfaces()).flatMap((addresses) =>
    (addresses ?? []).flatMap(({ address, internal }) => (internal ? [] : [address])),
  );
}
