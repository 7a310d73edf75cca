/**
 * The networks of a data root: made, found, shown and removed. All of it is records; what the kernel has of a network
 * is made when a container starts on it, and goes with the last one.
 */
import type { DatabaseSync } from 'node:sqlite';
import { HuskError } from '../../errors.ts';
import { randomHex } from '../../host/kernel/random.ts';
import { formatIp, formatSubnet, parseCidr, type Family, type Subnet } from '../../notation/ip.ts';
import type { EndpointState } from '../../state/containers.ts';
import { transaction } from '../../state/database.ts';
import { appendEvent } from '../../state/events.ts';
import { defaultGateway, type AddressSpace } from '../ipam/addresses.ts';
import type { CreateNetwork, Network, NetworkDriver, NetworkFilters, NetworkMember, Networks } from './contract.ts';
import { networkFilter, pruneFilter } from './filters.ts';
import { hostRoutes } from '../ipam/host-routes.ts';
import { inspectNetwork } from './inspect.ts';
import { readIpam, type IpamConfig } from '../ipam/spaces.ts';
import { checkNetworkName, isPredefined } from './name.ts';
import { networkSettings } from './options.ts';
import { leaseholders } from './leases.ts';
import { NetworkRecords } from './records.ts';
import { checkFree, nextSubnet, readPools, uniqueLocalSubnet, type PoolConfig } from '../ipam/subnets.ts';

/** A container that runs, with what it has on its networks. */
export interface RunningContainer {
  id: string;
  name: string;
  endpoints: readonly EndpointState[];
}

export interface NetworksOptions {
  database: DatabaseSync;
  config: { bip?: string; 'default-address-pools'?: PoolConfig[]; mtu?: number; ip?: string };
  /** those that really run: a record of a dead supervisor has been mended */
  running: () => readonly RunningContainer[];
  /** @default the host's own */
  routes?: () => Subnet[];
}

const ID_BYTES = 32;
const ULA_RANDOM_BYTES = 5;
/** what pasta's tap takes, and so what a bridge has */
const DEFAULT_MTU = 65520;
const DRIVERS: Record<string, string> = {
  host: 'only one instance of "host" network is allowed',
  null: 'only one instance of "null" network is allowed',
};
/** Docker's drivers that a program without the host's root cannot have, and why */
const NOT_HERE: Record<string, string> = {
  macvlan: "only the host's root may put interfaces on its network card",
  ipvlan: "only the host's root may put interfaces on its network card",
  overlay: 'it is of Swarm, which husk has not',
};

export function openNetworks(options: NetworksOptions): Networks {
  const { database, config } = options;
  const records = new NetworkRecords(database);
  const routes = options.routes ?? hostRoutes;

  const event = (action: string, { id, name, driver }: Network): void =>
    appendEvent(database, {
      Type: 'network',
      Action: action,
      Actor: { ID: id, Attributes: { name, type: driver } },
    });

  /** Subnets of the other networks; of those without one yet nothing. */
  const subnetsOfOthers = (id: string): { subnet: Subnet; name: string }[] =>
    records
      .all()
      .filter((network) => network.id !== id)
      .flatMap(({ ipam, name }) => ipam.map(({ subnet }) => ({ subnet: parseCidr(subnet)!.subnet, name })));

  /** Subnets for a network that asked for `asked`. Within a transaction, so that no two get one. */
  const allot = (id: string, asked: ReturnType<typeof readIpam>, families: Record<Family, boolean>): IpamConfig[] => {
    const others = subnetsOfOthers(id);
    for (const { subnet } of asked) checkFree(subnet, others);
    const ipam = asked.map((space) => ipamConfig(space, space.names));
    for (const family of [4, 6] as const) {
      if (!families[family] || asked.some(({ subnet }) => subnet.family === family)) continue;
      const taken = [...others.map(({ subnet }) => subnet), ...routes(), ...asked.map(({ subnet }) => subnet)];
      ipam.push(ipamConfig({ subnet: freeSubnet(family, taken), auxiliary: [] }, []));
    }
    return ipam;
  };

  const freeSubnet = (family: Family, taken: readonly Subnet[]): Subnet => {
    const pools = readPools(config['default-address-pools']);
    return family === 6 && !pools.some(({ base }) => base.family === 6)
      ? uniqueLocalSubnet(randomHex(ULA_RANDOM_BYTES))
      : nextSubnet(pools, family, taken);
  };

  /** `bridge` gets its subnet when it is first looked at, another when the config names one and nothing runs on it. */
  const settled = (network: Network): Network => {
    if (network.name !== 'bridge') return network;
    const asked = config.bip === undefined ? undefined : bridgeSpace(config.bip);
    const isAsIs = network.ipam.length > 0 && (asked === undefined || isSame(network.ipam, asked));
    const shown = { ...network, options: bridgeOptions(config) };
    if (isAsIs) return shown;
    return inTransaction(database, () => {
      const current = records.get(network.id);
      if (current.ipam.length > 0 && (asked === undefined || leaseholders(database, network.id).length > 0))
        return { ...current, options: shown.options };
      const changed = { ...current, ipam: allot(network.id, asked ? [asked] : [], { 4: true, 6: false }) };
      records.change(changed);
      return { ...changed, options: shown.options };
    });
  };

  const find = (reference: string): Network | undefined => {
    const network = records.find(reference);
    return network && settled(network);
  };
  const get = (reference: string): Network => settled(records.get(reference));

  const create = (request: CreateNetwork): Network => {
    const { name } = request;
    checkNetworkName(name);
    const driver = readDriver(request.driver || 'bridge');
    const families = { 4: request.ipv4 ?? true, 6: request.ipv6 ?? false };
    if (!families[4] && !families[6]) throw new HuskError('IPv4 or IPv6 must be enabled', { kind: 'invalid' });
    networkSettings(request.options ?? {});
    const asked = readIpam(request.ipam ?? [], families);
    const id = randomHex(ID_BYTES);
    return transaction(database, () => {
      // the default network has the first subnet of all, as Docker's, whatever is made before it is used
      get('bridge');
      const network: Network = {
        id,
        name,
        createdAt: Date.now(),
        driver,
        options: request.options ?? {},
        labels: request.labels ?? {},
        internal: request.internal ?? false,
        attachable: request.attachable ?? false,
        ipv4: families[4],
        ipv6: families[6],
        ipam: allot(id, asked, families),
      };
      records.insert(network);
      event('create', network);
      return network;
    });
  };

  const members = (id: string): NetworkMember[] => {
    const wanted = new Set(records.wantedOn(id).map(({ containerId }) => containerId));
    return options
      .running()
      .filter((container) => wanted.has(container.id) || container.endpoints.some(({ networkId }) => networkId === id))
      .map(({ id: containerId, name, endpoints }) => {
        const endpoint = endpoints.find(({ networkId }) => networkId === id);
        return { containerId, name, ...(endpoint && { endpoint }) };
      })
      .sort((a, b) => (a.name < b.name ? -1 : 1));
  };

  const drop = (network: Network): void => {
    // before the transaction: a record that is stale is mended in one of its own
    const active = members(network.id);
    transaction(database, () => {
      // whoever is starting has a lease before it runs
      const starting = leaseholders(database, network.id)
        .filter(({ containerId }) => !active.some((member) => member.containerId === containerId))
        .map(({ containerId, endpointId }) => ({ name: nameOf(database, containerId), endpointId }));
      const all = [
        ...active.map((member) => ({
          name: member.name,
          endpointId: member.endpoint?.endpointId ?? member.containerId,
        })),
        ...starting,
      ];
      if (all.length > 0)
        throw new HuskError(
          `error while removing network: network ${network.name} has active endpoints (${all.map(({ name, endpointId }) => `name:"${name}" id:"${endpointId.slice(0, 12)}"`).join(', ')})`,
          { kind: 'conflict' },
        );
      records.delete(network.id);
      event('destroy', network);
    });
  };

  const list = (filters: NetworkFilters = {}): Network[] => {
    const matches = networkFilter(filters, (network) => members(network.id).length === 0);
    return records.all().map(settled).filter(matches);
  };

  return {
    create,
    find,
    get,
    list,
    members,
    remove(reference) {
      const network = records.get(reference);
      if (isPredefined(network.name))
        throw new HuskError(`${network.name} is a pre-defined network and cannot be removed`, { kind: 'conflict' });
      drop(network);
    },
    prune(filters = {}) {
      const wanted = pruneFilter(filters);
      const deleted: string[] = [];
      for (const network of records.all()) {
        if (isPredefined(network.name) || !wanted(network)) continue;
        try {
          drop(network);
        } catch (error) {
          // in use
          if (error instanceof HuskError && error.kind === 'conflict') continue;
          throw error;
        }
        deleted.push(network.name);
      }
      appendEvent(database, { Type: 'network', Action: 'prune', Actor: { ID: '', Attributes: { reclaimed: '0' } } });
      return deleted;
    },
    inspect(reference) {
      const network = get(reference);
      return inspectNetwork(network, members(network.id));
    },
  };
}

function readDriver(driver: string): NetworkDriver {
  if (driver === 'bridge') return driver;
  if (Object.hasOwn(DRIVERS, driver)) throw new HuskError(DRIVERS[driver]!, { kind: 'conflict' });
  const why = Object.hasOwn(NOT_HERE, driver) ? NOT_HERE[driver] : `plugin "${driver}" not found`;
  throw new HuskError(`cannot make a network of driver ${driver}: ${why}`, {
    kind: 'unsupported',
    fix: 'use the driver bridge',
  });
}

function ipamConfig(space: AddressSpace, names: readonly string[]): IpamConfig {
  return {
    subnet: formatSubnet(space.subnet),
    gateway: formatIp(space.gateway ?? defaultGateway(space)),
    ...(space.range && { range: formatSubnet(space.range) }),
    auxiliary: Object.fromEntries(names.map((name, index) => [name, formatIp(space.auxiliary[index]!)])),
  };
}

/** `bip` of the config: the bridge's own address, with its subnet. @throws HuskError `invalid` */
function bridgeSpace(bip: string): ReturnType<typeof readIpam>[number] {
  const found = parseCidr(bip);
  if (found === undefined || found.address.family !== 4 || found.address.value === found.subnet.first)
    throw new HuskError(`bip "${bip}" of the config is no address with its subnet`, {
      kind: 'invalid',
      fix: 'write it as 192.168.5.1/24',
    });
  return { subnet: found.subnet, gateway: found.address, auxiliary: [], names: [] };
}

const isSame = ([one]: readonly IpamConfig[], asked: AddressSpace): boolean =>
  one?.subnet === formatSubnet(asked.subnet) && one.gateway === formatIp(asked.gateway!);

/** As Docker shows the network that every container is on: its options are the config's. */
function bridgeOptions(config: NetworksOptions['config']): Record<string, string> {
  return {
    'com.docker.network.bridge.enable_icc': 'true',
    'com.docker.network.bridge.enable_ip_masquerade': 'true',
    'com.docker.network.bridge.host_binding_ipv4': config.ip ?? '0.0.0.0',
    'com.docker.network.bridge.name': 'br0',
    'com.docker.network.driver.mtu': String(config.mtu ?? DEFAULT_MTU),
  };
}

function nameOf(database: DatabaseSync, containerId: string): string {
  const row = database.prepare('SELECT name FROM containers WHERE id = ?').get(containerId) as
    | { name: string }
    | undefined;
  return row?.name ?? containerId.slice(0, 12);
}

function inTransaction<T>(database: DatabaseSync, body: () => T): T {
  return database.isTransaction ? body() : transaction(database, body);
}
