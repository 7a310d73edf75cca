/**
 * What a name means to a container: the rows that DNS reads. Only names of the networks the asker is on are found, and
 * a link's alias only by the container that has the link. Reads only.
 */
import type { DatabaseSync, StatementSync } from 'node:sqlite';
import { parseIp } from '../../notation/ip.ts';
import type { NameSource } from '../names/answer.ts';
import { changesIn } from './changes.ts';
import { NetworkRecords } from './records.ts';

/**
 * The names of all networks, for name servers. Statements are prepared once: names are asked for more often than
 * records change.
 */
export function namesIn(database: DatabaseSync): Required<NameSource> {
  const rows = new NameRows(database);
  return {
    lookup: (name, asker) => {
      const found = new Set<string>();
      for (const network of rows.networksOf(asker))
        for (const each of meaningsOn(network, name))
          for (const address of rows.addressesOf(network.id, each)) found.add(address);
      if (found.size === 0) for (const address of rows.ofLinks(name, asker)) found.add(address);
      if (found.size === 0) return undefined;
      const of = (family: 4 | 6) => [...found].filter((address) => parseIp(address)?.family === family);
      return { ipv4: of(4), ipv6: of(6) };
    },
    reverse: (address, asker) => (parseIp(address) === undefined ? undefined : rows.nameOf(address, asker)),
    version: changesIn(database),
  };
}

/**
 * What a rule's name means on one network of the container: as `lookup` does, but also by name alone where containers
 * have no names for one another, on the default network.
 */
export function neighboursNamed(
  database: DatabaseSync,
  network: { id: string; name: string },
  { name, asker }: { name: string; asker: string },
): string[] {
  const rows = new NameRows(database);
  const found = meaningsOn(network, name).flatMap((each) => rows.addressesOf(network.id, each));
  if (found.length > 0) return found;
  return [...rows.addressesOfContainer(network.id, name), ...rows.ofLinks(name, asker, network.id)];
}

/** `name`, or `name.network` too where the network is that one */
function meaningsOn(network: { name: string }, name: string): string[] {
  const suffix = `.${network.name.toLowerCase()}`;
  return name.endsWith(suffix) ? [name, name.slice(0, -suffix.length)] : [name];
}

/** The statements, each prepared when it is first needed. */
class NameRows {
  readonly #database: DatabaseSync;
  readonly #records: NetworkRecords;
  readonly #statements = new Map<string, StatementSync>();

  constructor(database: DatabaseSync) {
    this.#database = database;
    this.#records = new NetworkRecords(database);
  }

  networksOf(asker: string): { id: string; name: string }[] {
    return this.#all(
      'SELECT DISTINCT id, name FROM leases JOIN networks ON id = network_id WHERE container_id = ?',
      asker,
    );
  }

  addressesOf(networkId: string, name: string): string[] {
    return this.#all<{ address: string }>(
      `SELECT address FROM network_names JOIN leases USING (network_id, container_id)
        WHERE network_id = ? AND name = ? ORDER BY address`,
      networkId,
      name,
    ).map(({ address }) => address);
  }

  /** by its name alone */
  addressesOfContainer(networkId: string, name: string): string[] {
    return this.#all<{ address: string }>(
      'SELECT address FROM leases JOIN containers ON id = container_id WHERE network_id = ? AND lower(name) = ?',
      networkId,
      name,
    ).map(({ address }) => address);
  }

  /** `--link container:alias`, on the network that the link is of */
  ofLinks(name: string, asker: string, on?: string): string[] {
    return this.#records.wantedBy(asker).flatMap(({ networkId, wanted }) =>
      (on === undefined || on === networkId ? (wanted.links ?? []) : []).flatMap((link) => {
        const [container = '', alias = container] = link.toLowerCase().split(':');
        return alias === name ? this.addressesOf(networkId, container) : [];
      }),
    );
  }

  /** @returns `name.network` of who has an address on one of the asker's networks */
  nameOf(address: string, asker: string): string | undefined {
    const [row] = this.#all<{ name: string; network: string }>(
      `SELECT network_names.name, networks.name AS network FROM leases
        JOIN network_names USING (network_id, container_id) JOIN networks ON networks.id = network_id
        WHERE address = ? AND network_id IN (SELECT network_id FROM leases WHERE container_id = ?)
        ORDER BY rank LIMIT 1`,
      address,
      asker,
    );
    return row && `${row.name}.${row.network}`;
  }

  #all<Row>(sql: string, ...parameters: string[]): Row[] {
    let statement = this.#statements.get(sql);
    if (!statement) this.#statements.set(sql, (statement = this.#database.prepare(sql)));
    return statement.all(...parameters) as unknown as Row[];
  }
}
