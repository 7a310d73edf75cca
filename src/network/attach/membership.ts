/**
 * A running container's networks, opened and kept open: interfaces are put into it and taken away by way of them, and a
 * keeper that dies is made again. It lasts for one life of the container; which addresses it has was settled before.
 */
import { causeOf, HuskError } from '../../errors.ts';
import type { InterfaceSetup } from '../../agent-protocol.ts';
import type { Fd } from '../../host/fd.ts';
import type { Sockets } from '../../launch/executor.ts';
import { after } from '../../long-timer.ts';
import type { UsersNamespace } from '../../rootless/users-namespace.ts';
import type { EndpointState } from '../../state/containers.ts';
import type { Network } from '../records/contract.ts';
import { openActiveNetwork, type ActiveNetwork, type NetworkHost } from './active-network.ts';
import type { ContainerEgress } from './container-egress.ts';
import { gatewayEndpoint } from './gateway.ts';
import { watchKeeper } from './keeper-watch.ts';
import { removeStalePorts } from './stale-ports.ts';
import { attachMember, detachMember, interfaceSetup, leaveBy, memberSockets, plugMember } from './member.ts';

/** ms until a keeper that could not be made is tried again */
const AGAIN = 1000;

/** One network of a container, and what the container is on it. */
export interface Member {
  network: Network;
  endpoint: EndpointState;
  /** of those who could be its way out, the highest is */
  gatewayPriority: number;
}

/** A member's place as a machine has it. */
export interface Plug {
  setup: InterfaceSetup;
  /** the machine's end; with its last copy the place is gone */
  link: Fd;
  active: ActiveNetwork;
  endpoint: EndpointState;
}

export class Membership {
  readonly #host: NetworkHost;
  readonly #egress: ContainerEgress | undefined;
  readonly #problem: (text: string) => void;
  /** by the network's id */
  readonly #members = new Map<string, Member>();
  readonly #active = new Map<string, ActiveNetwork>();
  readonly #watches = new Map<string, () => void>();
  #ended = false;
  #opened: Promise<void> | undefined;
  readonly #users = Promise.withResolvers<UsersNamespace | undefined>();

  /**
   * @param options.problem told of a network that could not be mended
   * @param options.egress the container's rules, when it has any
   */
  constructor(
    host: NetworkHost,
    members: readonly Member[],
    options: { problem: (text: string) => void; egress?: ContainerEgress | undefined },
  ) {
    this.#host = host;
    this.#egress = options.egress;
    this.#problem = options.problem;
    for (const member of members) this.#members.set(member.network.id, member);
    // a container that is put on a network later asks for none
    this.#users.promise.catch(() => {});
  }

  /**
   * Begins to open all that it began with, once. The container is made meanwhile: whoever attaches it waits for the
   * rest, and hears what went wrong.
   * @returns the user namespace in which the container's own has to be, as soon as it is known
   */
  open(): Promise<UsersNamespace | undefined> {
    void this.#openAll().catch(() => {});
    return this.#users.promise;
  }

  #openAll(): Promise<void> {
    return (this.#opened ??= this.#openEach().then(
      () => this.#users.resolve(undefined),
      (error: unknown) => {
        this.#users.reject(error);
        throw error;
      },
    ));
  }

  async #openEach(): Promise<void> {
    for (const { network } of this.#members.values()) await this.#openOne(network);
  }

  async #openOne(network: Network): Promise<ActiveNetwork> {
    const active = await openActiveNetwork(network, this.#host, (users) => this.#users.resolve(users));
    if (this.#ended) {
      active[Symbol.dispose]();
      throw new HuskError('the container has ended meanwhile', { kind: 'conflict' });
    }
    this.#active.set(network.id, active);
    this.#watch(network, active.keeper);
    return active;
  }

  get members(): Member[] {
    return [...this.#members.values()];
  }

  get endpoints(): EndpointState[] {
    return [...this.#members.values()].map(({ endpoint }) => endpoint);
  }

  get isInternal(): boolean {
    return [...this.#members.values()].every(({ network }) => network.internal);
  }

  /** The network by which the container leaves, and is reached from outside. */
  async wayOut(): Promise<{ active: ActiveNetwork; endpoint: EndpointState } | undefined> {
    await this.#openAll();
    const endpoint = this.#gateway('ipv4') ?? this.#gateway('ipv6');
    return endpoint && { active: this.#active.get(endpoint.networkId)!, endpoint };
  }

  /** Puts all of its interfaces into a container that starts. @param sockets of its network namespace */
  async attachAll(sockets: Sockets): Promise<void> {
    await this.#openAll();
    const container = memberSockets(sockets);
    const [ipv4, ipv6] = [this.#gateway('ipv4'), this.#gateway('ipv6')];
    for (const { endpoint } of this.#members.values()) {
      const active = this.#active.get(endpoint.networkId)!;
      await this.#egress?.admit(active, endpoint);
      const leaves = { ipv4: endpoint === ipv4, ipv6: endpoint === ipv6 };
      attachMember(active, container, { endpoint, leaves });
    }
  }

  /**
   * Makes its places as a machine has them, in the order of its interfaces. Each goes with the last copy of its link,
   * which is the caller's.
   */
  async plugAll(): Promise<Plug[]> {
    await this.#openAll();
    const [ipv4, ipv6] = [this.#gateway('ipv4'), this.#gateway('ipv6')];
    using unwound = new DisposableStack();
    const plugs: Plug[] = [];
    for (const { endpoint } of this.#members.values()) {
      const active = this.#active.get(endpoint.networkId)!;
      await this.#egress?.admit(active, endpoint);
      const link = unwound.use(await plugMember(active, endpoint));
      const setup = interfaceSetup(endpoint, active.mtu, { ipv4: endpoint === ipv4, ipv6: endpoint === ipv6 });
      plugs.push({ setup, link, active, endpoint });
    }
    unwound.move();
    return plugs;
  }

  /** Puts a running container on one more network. */
  async add(member: Member, sockets: Sockets): Promise<void> {
    const { network, endpoint } = member;
    const active = await this.#openOne(network);
    this.#members.set(network.id, member);
    const leaves = { ipv4: this.#gateway('ipv4') === endpoint, ipv6: this.#gateway('ipv6') === endpoint };
    try {
      // in force before the interface is: the container runs
      await this.#egress?.admit(active, endpoint);
      attachMember(active, memberSockets(sockets), { endpoint, leaves });
    } catch (error) {
      this.#egress?.withdraw(active);
      this.#forget(network.id);
      throw error;
    }
  }

  /** Takes a running container off a network; it leaves by another one then, if it has one. */
  remove(networkId: string, sockets: Sockets): void {
    const member = this.#members.get(networkId);
    const active = this.#active.get(networkId);
    if (!member || !active) return;
    const before = { ipv4: this.#gateway('ipv4'), ipv6: this.#gateway('ipv6') };
    detachMember(active, member.endpoint);
    this.#egress?.withdraw(active);
    this.#forget(networkId);
    const { route } = memberSockets(sockets);
    for (const family of ['ipv4', 'ipv6'] as const) {
      const next = this.#gateway(family);
      if (next && before[family] === member.endpoint) leaveBy(route, next, family);
    }
  }

  #forget(networkId: string): void {
    this.#watches.get(networkId)?.();
    this.#watches.delete(networkId);
    this.#members.delete(networkId);
    this.#active.get(networkId)?.[Symbol.dispose]();
    this.#active.delete(networkId);
  }

  #gateway(family: 'ipv4' | 'ipv6'): EndpointState | undefined {
    return gatewayEndpoint(this.endpoints, family, (id) => this.#members.get(id)!.gatewayPriority);
  }

  /** The namespace lives on in this process: whoever is first makes another keeper, with a way out. */
  #watch(network: Network, keeper: ActiveNetwork['keeper']): void {
    this.#watches.set(
      network.id,
      watchKeeper(keeper, () => void this.#mend(network)),
    );
  }

  async #mend(network: Network): Promise<void> {
    while (!this.#ended && this.#members.has(network.id)) {
      try {
        using again = await openActiveNetwork(network, this.#host);
        const [member, active] = [this.#members.get(network.id), this.#active.get(network.id)];
        if (this.#ended || !member || !active) return;
        this.#watch(network, again.keeper);
        await this.#egress?.admit(active, member.endpoint);
        return;
      } catch (error) {
        this.#problem(`network ${network.name} has lost its keeper: ${causeOf(error)}`);
        await after(AGAIN, { unref: true });
      }
    }
  }

  /** The container has ended, and with it its interfaces: nothing is mended for it any more. */
  end(): void {
    this.#ended = true;
    this.#egress?.close();
    for (const stop of this.#watches.values()) stop();
    this.#watches.clear();
  }

  /**
   * Lets go of its networks, on which others keep it from here on.
   * @param options.undone nothing of it is there any more: its rules go too
   */
  leave({ undone = false } = {}): void {
    if (undone) for (const active of this.#active.values()) this.#withdraw(active);
    this.end();
    for (const active of this.#active.values()) active[Symbol.dispose]();
    this.#active.clear();
  }

  #withdraw(active: ActiveNetwork): void {
    try {
      this.#egress?.withdraw(active);
    } catch (error) {
      this.#problem(`network ${active.network.name}: ${causeOf(error)}`);
    }
  }

  /**
   * Takes what the networks have of it away, which is slow: an interface may outlive its namespace while there is data
   * that nobody has acknowledged.
   */
  clear(): void {
    for (const { network, endpoint } of this.#members.values()) {
      const active = this.#active.get(network.id);
      if (!active) continue;
      try {
        detachMember(active, endpoint);
        this.#egress?.withdraw(active);
        removeStalePorts(active, this.#host.database);
      } catch (error) {
        this.#problem(`network ${network.name}: ${causeOf(error)}`);
      }
      active[Symbol.dispose]();
    }
    this.#active.clear();
  }
}
