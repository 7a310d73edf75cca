/**
 * The networks of a virtual machine: everything that only a process outside of its jail can make, before the jail is.
 * What the machine's monitor is given of them are descriptors: frames go in and out by taps, which are ports of the
 * networks' bridges, and with its death they and the forwarder are gone.
 */
import type { InterfaceSetup } from '../../agent-protocol.ts';
import type { Fd } from '../../host/fd.ts';
import type { EndpointState, PublishedPort } from '../../state/containers.ts';
import type { ProcessIdentity } from '../../state/process-identity.ts';
import { hostsLines } from './own-hosts.ts';
import type { PortMapping } from '../ports/bind.ts';
import type { Network } from '../records/contract.ts';
import { passLeases, release } from '../records/leases.ts';
import { passPorts } from '../records/ports.ts';
import type { NetworkHost } from './active-network.ts';
import type { ContainerEgress } from './container-egress.ts';
import { Membership, type Plug } from './membership.ts';
import { leaseAll, publishPorts, taking, type Taker } from './places.ts';
import { PLAIN, type PublishedPorts } from './published-ports.ts';
import { untilWayOut } from './way-out-ready.ts';

/** What a machine's monitor is told of what it has. */
export interface MachineNetworks {
  /** one for each of `MachinePlace.links` */
  interfaces: InterfaceSetup[];
  endpoints: EndpointState[];
  published: PublishedPort[];
  /** of its start; those of the host are told once a boot */
  warnings: { text: string; ofHost?: boolean }[];
}

export interface MachineRequest {
  known: readonly Network[];
  publish: readonly PortMapping[];
  domainname?: string;
  /** lines of /etc/hosts about others */
  hosts: readonly string[];
  /** the container's rules, when it has any: in force from the machine's first frame on */
  egress?: ContainerEgress;
  /** told of what goes wrong and ends nothing */
  problem: (text: string) => void;
}

/** Disposed of before `passOn` it takes everything back; after that it lets go of what the monitor has. */
export class MachinePlace implements Disposable {
  readonly #taker: Taker;
  readonly #membership: Membership;
  readonly #published: PublishedPorts | undefined;
  readonly #problem: MachineRequest['problem'];
  readonly told: MachineNetworks;
  /** what its /etc/hosts says of its networks */
  readonly hostsLines: string;
  /** tap descriptors; one of each network's namespace, by which it is found; of the forwarder, if there is one */
  readonly links: Fd[];
  readonly namespaces: Fd[];
  readonly forwarder: Fd[] = [];
  /** what is open of its networks, until it is disposed of */
  readonly places: readonly Pick<Plug, 'active' | 'endpoint'>[];
  #isPassedOn = false;

  /** @throws HuskError in Docker's words, or `unsupported` with the fix; nothing is left then */
  static async make(taker: Taker, host: NetworkHost, request: MachineRequest): Promise<MachinePlace> {
    let published: PublishedPorts | undefined;
    let membership: Membership | undefined;
    try {
      const members = taking(() => {
        const leased = leaseAll(taker, request.known);
        published = publishPorts(taker, leased, request.publish);
        return leased;
      });
      membership = new Membership(host, members, { problem: request.problem, egress: request.egress });
      const plugs = await membership.plugAll();
      const place = new MachinePlace({ taker, membership, published, plugs, request });
      await place.#forward();
      return place;
    } catch (error) {
      membership?.leave({ undone: true });
      published?.release();
      release(taker.database, taker.containerId);
      throw error;
    }
  }

  private constructor(made: {
    taker: Taker;
    membership: Membership;
    published: PublishedPorts | undefined;
    plugs: Plug[];
    request: MachineRequest;
  }) {
    const { taker, membership, published, plugs, request } = made;
    this.#taker = taker;
    this.#membership = membership;
    this.#published = published;
    this.#problem = request.problem;
    const { endpoints } = membership;
    this.told = {
      interfaces: plugs.map(({ setup }) => setup),
      endpoints,
      published: published?.ports ?? [],
      warnings: [],
    };
    this.hostsLines = hostsLines(endpoints, { ...request, hostname: taker.hostname }, request.hosts);
    this.links = plugs.map(({ link }) => link);
    this.namespaces = plugs.map(({ active }) => active.namespace);
    this.places = plugs;
  }

  async #forward(): Promise<void> {
    if (!this.#published) return;
    try {
      const out = await this.#membership.wayOut();
      if (out) this.forwarder.push(await this.#published.handOver(out.active, out.endpoint));
    } catch (error) {
      for (const link of this.links) link.close();
      throw error;
    }
  }

  /** Resolves when the way out is there, or will not be, which is told. */
  async wayOut(): Promise<void> {
    const out = await this.#membership.wayOut();
    if (!out) return;
    if (this.#published && !out.active.transparent) this.told.warnings.push({ text: PLAIN, ofHost: true });
    const reason = await untilWayOut(out.active);
    if (reason === undefined) return;
    const text = `network ${out.active.network.name} has no way out: ${reason}`;
    this.#problem(text);
    this.told.warnings.push({ text });
  }

  /** The monitor runs, and has its descriptors. Within the caller's transaction. */
  passOn(monitor: ProcessIdentity): void {
    passLeases(this.#taker.database, this.#taker.containerId, monitor);
    passPorts(this.#taker.database, this.#taker.containerId, monitor);
    this.#isPassedOn = true;
  }

  [Symbol.dispose](): void {
    for (const own of [...this.links, ...this.forwarder]) own.close();
    this.#membership.leave({ undone: !this.#isPassedOn });
    if (this.#isPassedOn) return;
    this.#published?.release();
    release(this.#taker.database, this.#taker.containerId);
  }
}
