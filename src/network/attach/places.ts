/**
 * What a container takes before it runs: an address on each of its networks, and the ports of the host's that it
 * publishes. All of it is rows that name a process, and the sockets; nothing of the kernel's networks is touched.
 */
import type { DatabaseSync } from 'node:sqlite';
import { EXIT_HUSK_FAILED, HuskError } from '../../errors.ts';
import type { ProcessIdentity } from '../../state/process-identity.ts';
import type { PortMapping } from '../ports/bind.ts';
import type { EndpointRequest, Network } from '../records/contract.ts';
import { lease } from '../records/leases.ts';
import { memberNames } from '../records/member-names.ts';
import { isPredefined } from '../records/name.ts';
import { NetworkRecords } from '../records/records.ts';
import { gatewayEndpoint } from './gateway.ts';
import type { Member } from './membership.ts';
import { PublishedPorts } from './published-ports.ts';

/** Who takes them. */
export interface Taker {
  database: DatabaseSync;
  containerId: string;
  /** the container's name now */
  name: string;
  /** of its own, for its neighbours */
  hostname: string;
  /** the process whose death voids what it takes */
  claim: ProcessIdentity;
}

/**
 * Gives it an address on each network that its rows name, eth0 on the first.
 * @param known those networks as they were when its start was asked for
 * @throws HuskError in Docker's words; what it got until then is for the caller to give back
 */
export function leaseAll(taker: Taker, known: readonly Network[]): Member[] {
  const records = new NetworkRecords(taker.database);
  return records.wantedBy(taker.containerId).flatMap(({ networkId, wanted }, index) => {
    const network = known.find(({ id }) => id === networkId) ?? records.get(networkId);
    return network.driver === 'bridge' ? [leaseOne(taker, network, { wanted, index })] : [];
  });
}

/** @param options.index of its interface @throws HuskError as leaseAll */
export function leaseOne(
  { database, containerId, name, hostname, claim }: Taker,
  network: Network,
  { wanted, index }: { wanted: EndpointRequest; index: number },
): Member {
  const names = isPredefined(network.name) ? [] : memberNames({ id: containerId, name, hostname }, wanted);
  const endpoint = lease(database, { network, containerId, interface: `eth${index}`, wanted, names, claim });
  return { network, endpoint, gatewayPriority: wanted.gatewayPriority ?? 0 };
}

/**
 * Binds what it publishes, for the network that it leaves by.
 * @returns undefined when it publishes nothing, or is reached by nobody outside: on internal networks alone
 * @throws HuskError in Docker's words
 */
export function publishPorts(
  { database, containerId, name, claim }: Taker,
  members: readonly Member[],
  mappings: readonly PortMapping[],
): PublishedPorts | undefined {
  if (mappings.length === 0) return undefined;
  const endpoints = members.map(({ endpoint }) => endpoint);
  const priority = (networkId: string) => members.find(({ network }) => network.id === networkId)?.gatewayPriority ?? 0;
  const endpoint = gatewayEndpoint(endpoints, 'ipv4', priority) ?? gatewayEndpoint(endpoints, 'ipv6', priority);
  const network = members.find(({ network: { id } }) => id === endpoint?.networkId)?.network;
  if (!endpoint || !network) return undefined;
  return new PublishedPorts(database, { containerId, name, claim }, { mappings, network, endpoint });
}

/**
 * An address or port that somebody has is no lost race for the container, as whoever asked for the start takes a
 * conflict to be: who tried again would fail again.
 */
export function taking<T>(take: () => T): T {
  try {
    return take();
  } catch (error) {
    if (!(error instanceof HuskError)) throw error;
    const { message, fix, kind } = error;
    throw new HuskError(message, {
      kind: kind === 'conflict' ? 'invalid' : kind,
      exitCode: EXIT_HUSK_FAILED,
      ...(fix !== undefined && { fix }),
      cause: error,
    });
  }
}
