/**
 * Ports of this host that running containers have: rows of `published_ports`, each owned by a claim. Says which
 * container has one before the kernel says that somebody does. Opens nothing.
 */
import type { DatabaseSync } from 'node:sqlite';
import { isIPv6 } from 'node:net';
import { HuskError } from '../../errors.ts';
import type { PublishedPort } from '../../state/containers.ts';
import { transaction } from '../../state/database.ts';
import { isAlive, type ProcessIdentity } from '../../state/process-identity.ts';

interface Row {
  protocol: PublishedPort['protocol'];
  host_ip: string;
  host_port: number;
  container_id: string;
  container_port: number;
  claim: string;
}

const EVERY = ['0.0.0.0', '::'];

/**
 * All of them or none.
 * @throws HuskError `conflict` in Docker's words when another container that lives has one of them
 */
export function claimPorts(
  database: DatabaseSync,
  { containerId, ports, claim }: { containerId: string; ports: readonly PublishedPort[]; claim: ProcessIdentity },
): void {
  transaction(database, () => {
    dropPorts(database, containerId);
    const insert = database.prepare(
      'INSERT OR REPLACE INTO published_ports (protocol, host_ip, host_port, container_id, container_port, claim) VALUES (?, ?, ?, ?, ?, ?)',
    );
    for (const port of ports) {
      if (isAllocated(database, port, containerId))
        throw new HuskError(
          `Bind for ${isIPv6(port.hostIp) ? `[${port.hostIp}]` : port.hostIp}:${port.hostPort} failed: port is already allocated`,
          { kind: 'conflict' },
        );
      insert.run(
        port.protocol,
        port.hostIp,
        port.hostPort,
        containerId,
        port.containerPort,
        JSON.stringify(claim satisfies ProcessIdentity),
      );
    }
  });
}

/** Whether another container that lives has it. */
export function isAllocated(database: DatabaseSync, port: PublishedPort, containerId: string): boolean {
  return othersOf(database, port, containerId).some(isHeld);
}

/** Of every address and of one of them: both cannot be had. */
function othersOf(database: DatabaseSync, { protocol, hostIp, hostPort }: PublishedPort, containerId: string): Row[] {
  const rows = database
    .prepare('SELECT * FROM published_ports WHERE protocol = ? AND host_port = ? AND container_id <> ?')
    .all(protocol, hostPort, containerId) as unknown as Row[];
  return rows.filter(
    ({ host_ip: other }) =>
      isIPv6(other) === isIPv6(hostIp) && (other === hostIp || EVERY.includes(other) || EVERY.includes(hostIp)),
  );
}

function isHeld({ claim }: Row): boolean {
  try {
    return isAlive(JSON.parse(claim) as ProcessIdentity);
  } catch {
    return false;
  }
}

/** They are another process's from here on: the container's supervisor's. Within the caller's transaction. */
export function passPorts(database: DatabaseSync, containerId: string, to: ProcessIdentity): void {
  database.prepare('UPDATE published_ports SET claim = ? WHERE container_id = ?').run(JSON.stringify(to), containerId);
}

export function releasePorts(database: DatabaseSync, containerId: string): void {
  if (database.isTransaction) dropPorts(database, containerId);
  else transaction(database, () => dropPorts(database, containerId));
}

function dropPorts(database: DatabaseSync, containerId: string): void {
  database.prepare('DELETE FROM published_ports WHERE container_id = ?').run(containerId);
}
