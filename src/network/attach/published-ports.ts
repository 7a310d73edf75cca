/**
 * What a container publishes: the host's sockets, bound before the container is made and kept over its restarts, and
 * the forwarder that leads them into the network for as long as the container runs. A forwarder that ends is started
 * again: the sockets are here.
 */
import type { DatabaseSync } from 'node:sqlite';
import { isIPv6 } from 'node:net';
import { HuskError } from '../../errors.ts';
import type { Fd } from '../../host/fd.ts';
import { after } from '../../long-timer.ts';
import type { EndpointState, PublishedPort } from '../../state/containers.ts';
import type { ProcessIdentity } from '../../state/process-identity.ts';
import { startForwarder, type ForwardedPort, type Forwarder } from '../forwarder.ts';
import { bindPorts, type BoundPorts, type PortMapping } from '../ports/bind.ts';
import type { Network } from '../records/contract.ts';
import { networkSettings } from '../records/options.ts';
import { claimPorts, isAllocated, releasePorts } from '../records/ports.ts';
import type { ActiveNetwork } from './active-network.ts';

/** said of ports whose forwarder cannot show who a client is */
export const PLAIN =
  "published ports show every client as the network's gateway: the kernel has no nft_socket (fix: sudo modprobe nft_socket)";
/** ms between a forwarder's end and the next one */
const AGAIN = 100;
const EVERY_ADDRESS = '0.0.0.0';

export interface Publisher {
  containerId: string;
  /** its name */
  name: string;
  claim: ProcessIdentity;
}

export class PublishedPorts {
  readonly #database: DatabaseSync;
  readonly #publisher: Publisher;
  readonly #bound: BoundPorts;
  #forwarder: Forwarder | undefined;
  #stopped = true;

  /** Binds all, or none. @throws HuskError in Docker's words */
  constructor(
    database: DatabaseSync,
    publisher: Publisher,
    { mappings, network, endpoint }: { mappings: readonly PortMapping[]; network: Network; endpoint: EndpointState },
  ) {
    this.#database = database;
    this.#publisher = publisher;
    const { containerId, name, claim } = publisher;
    const byDefault = defaultAddress(network);
    const asked = mappings.map((mapping) => ({ ...mapping, hostAddress: mapping.hostAddress || byDefault }));
    this.#bound = bindPorts(asked, {
      endpoint: `${name} (${endpoint.endpointId})`,
      isAllocated: ({ protocol, hostAddress, hostPort }) =>
        isAllocated(database, { protocol, hostIp: hostAddress, hostPort, containerPort: 0 }, containerId),
    });
    try {
      claimPorts(database, { containerId, ports: this.ports, claim });
    } catch (error) {
      this.#bound[Symbol.dispose]();
      throw error;
    }
  }

  get ports(): PublishedPort[] {
    return this.#bound.assigned.map(({ protocol, containerPort, hostAddress, hostPort }) => ({
      protocol,
      hostIp: hostAddress,
      hostPort,
      containerPort,
    }));
  }

  /** @param problem told when no forwarder can be started again */
  async forward(active: ActiveNetwork, endpoint: EndpointState, problem: (error: unknown) => void): Promise<void> {
    this.#stopped = false;
    const ports = this.#forwarded(active.network, endpoint);
    const start = async () => {
      const { users, namespace, transparent } = active;
      const forwarder = await startForwarder({ users: users.fd, namespace, ports, plain: !transparent });
      this.#forwarder = forwarder;
      void forwarder.ended.then(async () => {
        if (this.#forwarder !== forwarder || this.#stopped) return;
        await after(AGAIN);
        if (!this.#stopped) await start().catch(problem);
      });
    };
    await start();
  }

  /**
   * The same for a container whose supervisor may start nothing.
   * @returns the descriptor with whose last copy the forwarder ends; it has sockets of its own
   */
  async handOver(active: ActiveNetwork, endpoint: EndpointState): Promise<Fd> {
    const { users, namespace, network, transparent } = active;
    const ports = this.#forwarded(network, endpoint);
    const options = { users: users.fd, namespace, ports, plain: !transparent, detached: true };
    const { control } = await startForwarder(options);
    this.#bound[Symbol.dispose]();
    return control;
  }

  #forwarded(network: Network, endpoint: EndpointState): ForwardedPort[] {
    return this.#bound.assigned.map(({ protocol, containerPort: port, hostAddress }, index) => ({
      protocol,
      port,
      socket: this.#bound.sockets[index]!,
      ...targetOf(endpoint, network, hostAddress),
    }));
  }

  /** The container has ended: nobody is led there any more. The sockets stay. */
  async stop(): Promise<void> {
    this.#stopped = true;
    await this.#forwarder?.close();
    this.#forwarder = undefined;
  }

  /** After `stop`. */
  release(): void {
    this.#bound[Symbol.dispose]();
    releasePorts(this.#database, this.#publisher.containerId);
  }
}

/** Where `-p` named no address. '' is every address of both families. */
function defaultAddress({ name, options }: Network): string {
  const { hostBinding = '' } = networkSettings(options);
  // of the default network that is shown for every address, as Docker shows it
  return name === 'bridge' && hostBinding === EVERY_ADDRESS ? '' : hostBinding;
}

/** Of the socket's own family where the container has an address of it. */
function targetOf(
  { ipv4, ipv6 }: EndpointState,
  network: Network,
  hostAddress: string,
): Pick<ForwardedPort, 'container' | 'gateway' | 'prefix'> {
  const [own, other] = isIPv6(hostAddress) ? [ipv6, ipv4] : [ipv4, ipv6];
  const address = own ?? other;
  const gateway = network.ipam.find(({ gateway: each }) => isIPv6(each) === (address === ipv6))?.gateway;
  if (!address || gateway === undefined)
    throw new HuskError(`cannot publish ports on network ${network.name}: it has no addresses`, { kind: 'internal' });
  return { container: address.address, gateway, prefix: address.prefix };
}
