/**
 * Addresses of running containers: rows of `leases` and `network_names`, each owned by a claim, the identity of a
 * process. A lease whose process is dead is nobody's: it is taken away by whoever comes across it, so nothing is
 * counted and nothing has to be given back after a crash. Each allocation is one IMMEDIATE transaction: two processes
 * never have one address.
 */
import type { DatabaseSync } from 'node:sqlite';
import { HuskError } from '../../errors.ts';
import { randomHex } from '../../host/kernel/random.ts';
import { formatIp, parseIp, parseMac, type Family, type IpAddress } from '../../notation/ip.ts';
import type { EndpointAddress, EndpointState } from '../../state/containers.ts';
import { transaction } from '../../state/database.ts';
import { currentBootId, isAlive, type ProcessIdentity } from '../../state/process-identity.ts';
import { inUse, macOf, nextAddress, spaceOf, type AddressSpace } from '../ipam/addresses.ts';
import type { EndpointRequest, Network } from './contract.ts';
import { addressSpaces } from '../ipam/spaces.ts';
import { writeNames } from './member-names.ts';
import { networkSettings } from './options.ts';

export interface LeaseRequest {
  network: Network;
  containerId: string;
  /** of the container's side: eth0 */
  interface: string;
  wanted: EndpointRequest;
  /** by which its neighbours find it, its own name first */
  names: readonly string[];
  /** whose death voids it */
  claim: ProcessIdentity;
}

interface Row {
  network_id: string;
  address: string;
  container_id: string;
  endpoint_id: string;
  mac: string;
  interface: string;
  claim: string;
}

/** One who has a lease that is not void. */
export interface Leaseholder {
  containerId: string;
  endpointId: string;
}

const ENDPOINT_ID_BYTES = 32;
/** digits of a hardware address that are not the maker's */
const MAC_TAIL_BYTES = 4;
const MAKER = '02:42:';

/**
 * Gives a container its addresses on a network, the lowest free ones or those it asked for. What it had there before is
 * given back first.
 * @throws HuskError in Docker's words: the network is gone, an address is taken, or none is left
 */
export function lease(database: DatabaseSync, request: LeaseRequest): EndpointState {
  return transaction(database, () => {
    const { network, containerId, wanted, claim } = request;
    if (database.prepare('SELECT 1 FROM networks WHERE id = ?').get(network.id) === undefined)
      throw new HuskError(`network ${network.id} not found`, { kind: 'not-found' });
    dropOfAnotherBoot(database);
    drop(database, { containerId, networkId: network.id });
    const spaces = addressSpaces(network.ipam);
    const addresses = ([4, 6] as const).flatMap((family) => {
      const space = spaces.find(({ subnet }) => subnet.family === family);
      if (!space || !(family === 4 ? network.ipv4 : network.ipv6)) return [];
      return [{ family, space, address: choose(database, { network, space, spaces, family, wanted }) }];
    });
    const [first] = addresses;
    if (first === undefined) throw new HuskError(`network ${network.name} has no addresses`, { kind: 'unsupported' });
    const mac = chooseMac(database, network.id, { asked: wanted.mac, address: first.address });
    const endpointId = randomHex(ENDPOINT_ID_BYTES);
    const insert = database.prepare(
      'INSERT INTO leases (network_id, address, container_id, endpoint_id, mac, interface, claim) VALUES (?, ?, ?, ?, ?, ?, ?)',
    );
    for (const { address } of addresses)
      insert.run(
        network.id,
        formatIp(address),
        containerId,
        endpointId,
        mac,
        request.interface,
        JSON.stringify(claim satisfies ProcessIdentity),
      );
    writeNames(database, { networkId: network.id, containerId }, request.names);
    const of = (family: Family): EndpointAddress | undefined => {
      const found = addresses.find((each) => each.family === family);
      return found && endpointAddress(network, found);
    };
    const [ipv4, ipv6] = [of(4), of(6)];
    return {
      networkId: network.id,
      network: network.name,
      endpointId,
      interface: request.interface,
      mac,
      ...(ipv4 && { ipv4 }),
      ...(ipv6 && { ipv6 }),
      names: [...new Set(request.names)],
    };
  });
}

function endpointAddress(
  network: Network,
  { family, space, address }: { family: Family; space: AddressSpace; address: IpAddress },
): EndpointAddress {
  const { isolated } = networkSettings(network.options);
  const hasWayOut = !network.internal && !(family === 4 ? isolated.ipv4 : isolated.ipv6);
  return {
    address: formatIp(address),
    prefix: space.subnet.prefix,
    ...(hasWayOut && space.gateway && { gateway: formatIp(space.gateway) }),
  };
}

interface Choice {
  network: Network;
  space: AddressSpace;
  spaces: readonly AddressSpace[];
  family: Family;
  wanted: EndpointRequest;
}

function choose(database: DatabaseSync, { network, space, spaces, family, wanted }: Choice): IpAddress {
  const asked = family === 4 ? wanted.ipv4 : wanted.ipv6;
  if (asked !== undefined) {
    const { address } = spaceOf(spaces, asked);
    const text = formatIp(address);
    const holder = database
      .prepare('SELECT * FROM leases WHERE network_id = ? AND address = ?')
      .get(network.id, text) as unknown as Row | undefined;
    if (holder && isHeld(holder)) throw inUse();
    if (holder) drop(database, { containerId: holder.container_id, networkId: network.id });
    return address;
  }
  try {
    return nextAddress(space, taken(database, network.id));
  } catch (error) {
    // those of the dead are only looked for when they are needed
    if (!dropDead(database, network.id)) throw error;
    return nextAddress(space, taken(database, network.id));
  }
}

function taken(database: DatabaseSync, networkId: string): Set<bigint> {
  const rows = database.prepare('SELECT address FROM leases WHERE network_id = ?').all(networkId) as unknown as Row[];
  return new Set(rows.map(({ address }) => parseIp(address)!.value));
}

/** The address's own; where a neighbour has asked for that very one, another. */
function chooseMac(
  database: DatabaseSync,
  networkId: string,
  { asked, address }: { asked: string | undefined; address: IpAddress },
): string {
  const withMac = database.prepare('SELECT * FROM leases WHERE network_id = ? AND mac = ?');
  const isTaken = (mac: string) => (withMac.all(networkId, mac) as unknown as Row[]).some(isHeld);
  if (asked !== undefined) {
    const mac = parseMac(asked);
    if (mac === undefined) throw new HuskError(`invalid MAC address: ${asked}`, { kind: 'invalid' });
    if (isTaken(mac)) throw new HuskError(`MAC address ${mac} already in use`, { kind: 'conflict' });
    return mac;
  }
  let mac = macOf(address);
  while (isTaken(mac)) mac = MAKER + randomHex(MAC_TAIL_BYTES).replace(/..(?=.)/g, '$&:');
  return mac;
}

/** What a container has is another process's from here on: its supervisor's. Within the caller's transaction. */
export function passLeases(database: DatabaseSync, containerId: string, to: ProcessIdentity): void {
  database.prepare('UPDATE leases SET claim = ? WHERE container_id = ?').run(JSON.stringify(to), containerId);
}

/** Gives back what a container has on a network, or on all of them. */
export function release(database: DatabaseSync, containerId: string, networkId?: string): void {
  const body = () => drop(database, { containerId, networkId });
  if (database.isTransaction) body();
  else transaction(database, body);
}

/**
 * Who has a lease on a network that is not void. Those of the dead are passed over; a lease that needs one takes it.
 */
export function leaseholders(database: DatabaseSync, networkId: string): Leaseholder[] {
  const held = rowsOf(database, networkId).filter(isHeld);
  return [...new Map(held.map((row) => [row.container_id, row])).values()].map((row) => ({
    containerId: row.container_id,
    endpointId: row.endpoint_id,
  }));
}

function rowsOf(database: DatabaseSync, networkId: string): Row[] {
  return database.prepare('SELECT * FROM leases WHERE network_id = ?').all(networkId) as unknown as Row[];
}

function isHeld({ claim }: Row): boolean {
  try {
    return isAlive(JSON.parse(claim) as ProcessIdentity);
  } catch {
    return false;
  }
}

function drop(database: DatabaseSync, { containerId, networkId }: { containerId: string; networkId?: string }): void {
  for (const table of ['leases', 'network_names'])
    if (networkId === undefined) database.prepare(`DELETE FROM ${table} WHERE container_id = ?`).run(containerId);
    else database.prepare(`DELETE FROM ${table} WHERE container_id = ? AND network_id = ?`).run(containerId, networkId);
}

/** After a reboot nobody has anything: no process needs to be looked at to know that. */
function dropOfAnotherBoot(database: DatabaseSync): void {
  const rows = database
    .prepare("SELECT DISTINCT container_id FROM leases WHERE json_extract(claim, '$.bootId') IS NOT ?")
    .all(currentBootId()) as unknown as Row[];
  for (const { container_id: containerId } of rows) drop(database, { containerId });
}

/** @returns whether there was any */
function dropDead(database: DatabaseSync, networkId: string): boolean {
  const dead = rowsOf(database, networkId).filter((row) => !isHeld(row));
  for (const { container_id: containerId } of dead) drop(database, { containerId, networkId });
  return dead.length > 0;
}
