/**
 * The rows of `networks` and `endpoints`: which networks there are, and which container is to be on which. What runs is
 * in leases.ts. Each method is one statement; whoever needs several of them to be one has a transaction.
 */
import type { DatabaseSync, StatementSync } from 'node:sqlite';
import { causeOf, HuskError } from '../../errors.ts';
import { prepared } from '../../state/database.ts';
import type { EndpointRequest, Network, NetworkRecord, WantedEndpoint } from './contract.ts';

interface Row {
  id: string;
  name: string;
  created_at: number;
  record: string;
}

interface EndpointRow {
  network_id: string;
  container_id: string;
  network: string;
  wanted: string;
}

const ID_PREFIX = /^[0-9a-f]{1,64}$/;

export class NetworkRecords {
  readonly #database: DatabaseSync;

  constructor(database: DatabaseSync) {
    this.#database = database;
  }

  byId(id: string): Network | undefined {
    return this.#one('SELECT * FROM networks WHERE id = ?', id);
  }

  byName(name: string): Network | undefined {
    return this.#one('SELECT * FROM networks WHERE name = ?', name);
  }

  /**
   * By full id, name, or unambiguous id prefix, in that order: Docker's. @throws HuskError `invalid` (ambiguous) in its
   * words
   */
  find(reference: string): Network | undefined {
    const exact = this.byId(reference) ?? this.byName(reference);
    if (exact || !ID_PREFIX.test(reference)) return exact;
    // 'g' sorts right after the last hex digit
    const rows = this.#prepare('SELECT * FROM networks WHERE id >= ? AND id < ?').all(
      reference,
      `${reference}g`,
    ) as unknown as Row[];
    if (rows.length > 1)
      throw new HuskError(`network ${reference} is ambiguous (${rows.length} matches found based on ID prefix)`, {
        kind: 'invalid',
      });
    return rows[0] && toNetwork(rows[0]);
  }

  /** @throws HuskError `not-found` in Docker's words */
  get(reference: string): Network {
    return this.find(reference) ?? missing(reference);
  }

  /** by name */
  all(): Network[] {
    return (this.#prepare('SELECT * FROM networks ORDER BY name').all() as unknown as Row[]).map(toNetwork);
  }

  /** @throws HuskError `conflict` in Docker's words when the name is taken */
  insert(network: Network): void {
    if (this.byName(network.name))
      throw new HuskError(`network with name ${network.name} already exists`, { kind: 'conflict' });
    this.#prepare('INSERT INTO networks (id, name, created_at, record) VALUES (?, ?, ?, ?)').run(
      network.id,
      network.name,
      network.createdAt,
      JSON.stringify(recordOf(network)),
    );
  }

  change(network: Network): void {
    this.#prepare('UPDATE networks SET record = ? WHERE id = ?').run(JSON.stringify(recordOf(network)), network.id);
  }

  delete(id: string): void {
    this.#prepare('DELETE FROM networks WHERE id = ?').run(id);
    this.#prepare('DELETE FROM network_runtime WHERE network_id = ?').run(id);
  }

  /** What a container is to be on, by the networks' names. */
  wantedBy(containerId: string): WantedEndpoint[] {
    const rows = this.#prepare('SELECT * FROM endpoints WHERE container_id = ? ORDER BY network').all(containerId);
    return (rows as unknown as EndpointRow[]).map(toEndpoint);
  }

  /** Names and ids alone, of all containers: what lists show. */
  namesByContainer(): Map<string, { id: string; name: string }[]> {
    const rows = this.#prepare('SELECT container_id, network_id, network FROM endpoints ORDER BY network').all();
    const found = new Map<string, { id: string; name: string }[]>();
    for (const { container_id, network_id, network } of rows as unknown as EndpointRow[]) {
      const of = found.get(container_id) ?? [];
      if (of.length === 0) found.set(container_id, of);
      of.push({ id: network_id, name: network });
    }
    return found;
  }

  wantedOn(networkId: string): WantedEndpoint[] {
    const rows = this.#prepare('SELECT * FROM endpoints WHERE network_id = ?').all(networkId);
    return (rows as unknown as EndpointRow[]).map(toEndpoint);
  }

  /** @returns whether it was not there yet */
  want({ networkId, network, containerId, wanted }: WantedEndpoint): boolean {
    const { changes } = this.#prepare(
      'INSERT OR IGNORE INTO endpoints (network_id, container_id, network, wanted) VALUES (?, ?, ?, ?)',
    ).run(networkId, containerId, network, JSON.stringify(wanted));
    return Number(changes) > 0;
  }

  /** On one of those that every data root has, as they are. */
  wantPredefined(name: string, containerId: string): void {
    this.#prepare(
      "INSERT OR IGNORE INTO endpoints (network_id, container_id, network, wanted) SELECT id, ?, name, '{}' FROM networks WHERE name = ?",
    ).run(containerId, name);
  }

  /** @returns whether it was there */
  unwant(networkId: string, containerId: string): boolean {
    const { changes } = this.#prepare('DELETE FROM endpoints WHERE network_id = ? AND container_id = ?').run(
      networkId,
      containerId,
    );
    return Number(changes) > 0;
  }

  #one(sql: string, parameter: string): Network | undefined {
    const row = this.#prepare(sql).get(parameter) as Row | undefined;
    return row && toNetwork(row);
  }

  #prepare(sql: string): StatementSync {
    return prepared(this.#database, sql);
  }
}

/** @throws HuskError `not-found` in Docker's words */
function missing(reference: string): never {
  throw new HuskError(`network ${reference} not found`, { kind: 'not-found' });
}

function recordOf({ id: _id, name: _name, createdAt: _createdAt, ...record }: Network): NetworkRecord {
  return record;
}

function toNetwork(row: Row): Network {
  const record = parse(row.record, `network ${row.name}`);
  if (!isNetworkRecord(record)) throw damaged(`network ${row.name}`, 'it is none that a network has');
  return { ...record, id: row.id, name: row.name, createdAt: row.created_at };
}

function toEndpoint({ network_id, container_id, network, wanted }: EndpointRow): WantedEndpoint {
  const request = parse(wanted, `container ${container_id} on network ${network}`) as EndpointRequest;
  return { networkId: network_id, network, containerId: container_id, wanted: request };
}

/** What every reader of a record relies on. */
export function isNetworkRecord(value: unknown): value is NetworkRecord {
  const { driver, options, labels, ipam } = (value ?? {}) as Partial<Record<keyof NetworkRecord, unknown>>;
  return (
    ['bridge', 'host', 'null'].includes(driver as string) &&
    [options, labels].every((map) => typeof map === 'object' && map !== null) &&
    Array.isArray(ipam)
  );
}

function parse(text: string, what: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw damaged(what, causeOf(error));
  }
}

function damaged(what: string, why: string): HuskError {
  return new HuskError(`the record of ${what} is damaged: ${why}`, {
    kind: 'corrupt',
    fix: 'husk system check --repair',
  });
}
