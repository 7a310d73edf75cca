/**
 * The networks of the container that a supervisor is for, in user namespaces: addresses and ports are taken before
 * anything runs, the networks opened beside the container's start, its interfaces put there when its namespace exists,
 * and all of it given back after each life. Loaded only for containers that are on a network of husk's.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { DatabaseSync } from 'node:sqlite';
import { causeOf, HuskError } from '../../errors.ts';
import type { Fd } from '../../host/fd.ts';
import type { Sockets } from '../../launch/executor.ts';
import { openContainerSocket } from '../../network/attach/container-socket.ts';
import type { ContainerEgress } from '../../network/attach/container-egress.ts';
import { hostsLines } from '../../network/attach/own-hosts.ts';
import { Membership, type Member } from '../../network/attach/membership.ts';
import { startNameService } from '../../network/attach/name-service.ts';
import { leaseAll, leaseOne, publishPorts, taking, type Taker } from '../../network/attach/places.ts';
import { PLAIN, type PublishedPorts } from '../../network/attach/published-ports.ts';
import { untilWayOut } from '../../network/attach/way-out-ready.ts';
import { ENDPOINT_SOCKETS, openEndpointSockets } from '../../network/namespace.ts';
import { isPredefined } from '../../network/records/name.ts';
import { release } from '../../network/records/leases.ts';
import type { EndpointState } from '../../state/containers.ts';
import { identifySelf } from '../../state/process-identity.ts';
import { span } from '../../trace.ts';
import type { TaskNetworks, Warning } from '../protocol/protocol.ts';
import type { ConnectNetwork } from './control.ts';
import type { LifeNetworks } from './life-networks.ts';
import type { JoinNetworks } from './sandboxes.ts';

export interface NetworksOptions {
  id: string;
  wanted: TaskNetworks;
  database: DatabaseSync;
  dataRoot: string;
  runtimeDir: string;
  /** containers/<id>; its etc/ has a file of hosts without lines of networks yet */
  folder: string;
  /** the container's name now */
  name: () => string;
  /** told of what went wrong without ending the container */
  problem: (text: string) => void;
}

export class ContainerNetworks implements LifeNetworks {
  readonly warnings: Warning[] = [];
  readonly #options: NetworksOptions;
  readonly #makeEgress: (() => ContainerEgress) | undefined;
  #egress: ContainerEgress | undefined;
  /** without lines of networks */
  #hosts: string | undefined;
  #membership: Membership | undefined;
  #published: PublishedPorts | undefined;
  #names: ReturnType<typeof startNameService> | undefined;
  /** the endpoint that published ports lead to */
  #forwarded: EndpointState | undefined;
  /** of the life that has ended */
  #cleared: Membership | undefined;

  private constructor(options: NetworksOptions, makeEgress: (() => ContainerEgress) | undefined) {
    this.#options = options;
    this.#makeEgress = makeEgress;
  }

  static async create(options: NetworksOptions): Promise<ContainerNetworks> {
    const { egress: rules } = options.wanted;
    if (rules === undefined) return new ContainerNetworks(options, undefined);
    const [{ ContainerEgress }, { openNetworkLog: openLog }] = await Promise.all([
      import('../../network/attach/container-egress.ts'),
      import('../../network/attach/egress-log.ts'),
    ]);
    const { id: containerId, database, folder, problem } = options;
    return new ContainerNetworks(
      options,
      () => new ContainerEgress({ containerId, rules, database, folder, openLog, problem }),
    );
  }

  get state(): LifeNetworks['state'] {
    return { endpoints: this.#membership?.endpoints ?? [], published: this.#published?.ports ?? [] };
  }

  /** Takes addresses and ports for a life of the container. */
  begin(): JoinNetworks | undefined {
    using _taking = span('take addresses and ports');
    const members = taking(() => {
      const { known, publish } = this.#options.wanted;
      const leased = leaseAll(this.#taker, known);
      // they stay bound from one life to the next
      this.#published ??= publishPorts(this.#taker, leased, publish);
      return leased;
    });
    if (members.length === 0) return undefined;
    const membership = this.#open(members);
    // a resolver of the host's would say what no rule names, and its answers would be nobody's
    const hasNames = this.#egress !== undefined || members.some(({ network }) => !isPredefined(network.name));
    return {
      open: () => {
        this.#writeHosts(membership.endpoints);
        return membership.open();
      },
      sockets: hasNames ? ENDPOINT_SOCKETS : { op: 'sockets', make: ['rtnetlink', 'network-namespace'] },
      connect: (pid, sockets) => this.#connect(membership, { pid, sockets, hasNames }),
    };
  }

  #open(members: readonly Member[]): Membership {
    const { database, dataRoot, runtimeDir, problem } = this.#options;
    const host = { database, dataRoot, runtimeDir };
    this.#egress = this.#makeEgress?.();
    return (this.#membership = new Membership(host, members, { problem, egress: this.#egress }));
  }

  get #taker(): Taker {
    const { id, name, wanted, database } = this.#options;
    return { database, containerId: id, name: name(), hostname: wanted.hostname, claim: identifySelf() };
  }

  #writeHosts(endpoints: readonly EndpointState[]): void {
    const { folder, wanted } = this.#options;
    const file = join(folder, 'etc/hosts');
    this.#hosts ??= readFileSync(file, 'utf8');
    // in place: it is bound over the container's
    writeFileSync(file, this.#hosts + hostsLines(endpoints, wanted, wanted.hosts));
  }

  /** The container's namespace is there. */
  async #connect(
    membership: Membership,
    { pid, sockets, hasNames }: { pid: number; sockets: Sockets; hasNames: boolean },
  ): Promise<void> {
    using _joining = span('join the networks');
    using _sockets = disposable(sockets);
    await membership.attachAll(sockets);
    if (hasNames) this.#serveNames(membership, pid, sockets);
    await this.#reachable(membership);
  }

  /** From outside, by its published ports; and the outside by it. */
  async #reachable(membership: Membership): Promise<void> {
    const { problem } = this.#options;
    const out = await membership.wayOut();
    if (this.#forwarded && this.#forwarded !== out?.endpoint) await this.#published?.stop();
    const isNew = this.#forwarded !== out?.endpoint;
    this.#forwarded = out?.endpoint;
    if (!out || !isNew) return;
    const forwarding = this.#published?.forward(out.active, out.endpoint, (error) =>
      problem(`published ports lead nowhere: ${causeOf(error)}`),
    );
    const [reason] = await Promise.all([untilWayOut(out.active), forwarding]);
    if (this.#published && !out.active.transparent) this.warnings.push({ text: PLAIN, ofHost: true });
    if (reason === undefined) return;
    const text = `network ${out.active.network.name} has no way out: ${reason}`;
    problem(text);
    this.warnings.push({ text });
  }

  async connect(pid: number, { network, wanted }: Pick<ConnectNetwork, 'network' | 'wanted'>): Promise<void> {
    const { id, database, folder } = this.#options;
    const membership = this.#membership ?? this.#open([]);
    const taken = membership.endpoints.map((endpoint) => endpoint.interface);
    let index = 0;
    while (taken.includes(`eth${index}`)) index++;
    const member = leaseOne(this.#taker, network, { wanted, index });
    const publishes = this.#published === undefined;
    try {
      // what it publishes leads to the first network by which it leaves, whenever that comes
      const { publish } = this.#options.wanted;
      this.#published ??= publishPorts(this.#taker, [...membership.members, member], publish);
      const sockets = await openEndpointSockets(pid);
      using _sockets = disposable(sockets);
      await membership.add(member, sockets);
      if ((this.#egress || !isPredefined(network.name)) && !this.#names) {
        writeFileSync(join(folder, 'etc/resolv.conf'), this.#options.wanted.names.resolvConf);
        this.#serveNames(membership, pid, sockets);
      }
    } catch (error) {
      release(database, id, network.id);
      if (publishes) await this.release();
      throw withoutExitCode(error);
    }
    await this.#changed(membership);
  }

  async disconnect(pid: number, networkId: string): Promise<void> {
    const { id, database } = this.#options;
    const membership = this.#membership;
    if (!membership) return;
    {
      const sockets = await openEndpointSockets(pid);
      using _sockets = disposable(sockets);
      membership.remove(networkId, sockets);
    }
    release(database, id, networkId);
    await this.#changed(membership);
    // nobody is led anywhere, and the ports are free for others
    if (this.#forwarded === undefined) await this.release();
  }

  async #changed(membership: Membership): Promise<void> {
    this.#writeHosts(membership.endpoints);
    this.#names?.forward(!membership.isInternal);
    await this.#reachable(membership);
  }

  #serveNames(membership: Membership, pid: number, sockets: Sockets): void {
    const { id, database, wanted, problem } = this.#options;
    let told = false;
    this.#names = startNameService(sockets, {
      database,
      containerId: id,
      ...wanted.names,
      forward: !membership.isInternal,
      makeSocket: (kind, family): Promise<Fd> => openContainerSocket(pid, kind, family),
      egress: this.#egress,
      problem: (error) => {
        // what a container asks can go wrong as often as it likes
        if (!told) problem(`its name server: ${causeOf(error)}`);
        told = true;
      },
    });
  }

  /** Addresses are given back. */
  async end(): Promise<void> {
    const { id, database } = this.#options;
    this.#names?.close();
    this.#names = undefined;
    this.#membership?.end();
    this.#cleared = this.#membership ?? this.#cleared;
    this.#membership = undefined;
    this.#forwarded = undefined;
    release(database, id);
    await this.#published?.stop();
  }

  /** Also when no network is left by which it is reached: ports are given back. */
  async release(): Promise<void> {
    this.#published?.release();
    this.#published = undefined;
  }

  clear(): void {
    this.#cleared?.clear();
    this.#cleared = undefined;
  }
}

/** A `network connect` that fails ends as all commands do, and not as a `run`. */
function withoutExitCode(error: unknown): unknown {
  if (!(error instanceof HuskError)) return error;
  const { message, fix, kind } = error;
  return new HuskError(message, { kind, ...(fix !== undefined && { fix }), cause: error });
}

/** What is kept open of the container's namespace would keep it alive. */
function disposable(sockets: Sockets): Disposable {
  return { [Symbol.dispose]: () => Object.values(sockets).forEach((fd) => fd.close()) };
}
