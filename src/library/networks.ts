/** `husk.networks`: the networks that every data root has, and those that users have made. */
import type { EndpointRequest, Engine, Filters, Network } from '../engine/contract.ts';

export class NetworkCollection {
  readonly #engine: Engine;

  constructor(engine: Engine) {
    this.#engine = engine;
  }

  /** @throws HuskError `conflict` when the name or the subnet is taken */
  async create(
    name: string,
    options: {
      /** `10.5.0.0/16`. @default a free subnet */
      subnet?: string;
      gateway?: string;
      /** Whether the network has no connection to the outside. */
      internal?: boolean;
      ipv6?: boolean;
      labels?: Record<string, string>;
      /** options of the driver: `com.docker.network.driver.mtu` and others */
      options?: Record<string, string>;
    } = {},
  ): Promise<Network> {
    const { subnet, gateway, ...same } = options;
    const ipam = subnet === undefined ? undefined : [{ subnet, ...(gateway !== undefined && { gateway }) }];
    return (await this.#engine.networks()).create({ name, ...same, ipam });
  }

  async list(filters: Filters = {}): Promise<Network[]> {
    return (await this.#engine.networks()).list(filters);
  }

  /**
   * @param name a name, an id or a prefix of an id
   * @throws HuskError `not-found`
   */
  async get(name: string): Promise<Network> {
    return (await this.#engine.networks()).get(name);
  }

  /** @throws HuskError `conflict` while containers run on the network */
  async remove(name: string): Promise<void> {
    (await this.#engine.networks()).remove(name);
  }

  /** Removes the networks on which no container runs. @returns their names */
  async prune(filters: Filters = {}): Promise<string[]> {
    return (await this.#engine.networks()).prune(filters);
  }

  /** Connects a container to a network. */
  connect(network: string, container: string, wanted: EndpointRequest = {}): Promise<void> {
    return this.#engine.connect(network, container, wanted);
  }

  /** Disconnects a container from a network; with `force` also from one that has been removed. */
  disconnect(network: string, container: string, options: { force?: boolean } = {}): Promise<void> {
    return this.#engine.disconnect(network, container, options);
  }
}
