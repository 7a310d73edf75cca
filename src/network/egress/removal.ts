/**
 * Takes the packet filter of containers with `--egress` (filter.ts) out of a network: at a container's end, and of one
 * whose supervisor was killed, before somebody else has its address. What belongs together is told by the port in the
 * names, so nobody has to know what the rules were.
 */
import { constants } from 'node:os';
import { mapTargets, NftablesBatch, setNames, type NetfilterSocket } from '../../host/streams/nftables.ts';
import { NetlinkError } from '../../host/streams/netlink-socket.ts';
import { EGRESS, LOG, PORTS, ROUTED } from '../rules.ts';
import { CHAINS, portOfName } from './filter.ts';

const MAPS = [
  ...[EGRESS.ip, EGRESS.ip6, LOG.ip, LOG.ip6].map((map) => ({ table: ROUTED, map })),
  ...['egress', 'log'].map((map) => ({ table: PORTS, map })),
];
/** how often it is looked again when another process was faster */
const TRIES = 3;

/** The ports of those who have it. @throws NetlinkError */
export function egressPorts(socket: NetfilterSocket): string[] {
  return mapTargets(socket, PORTS, 'egress').flatMap(({ chain }) => portOfName(chain) ?? []);
}

/** Nothing, where there is nothing of it. @param isGone of which ports. @throws NetlinkError */
export function removeEgress(socket: NetfilterSocket, isGone: (port: string) => boolean): void {
  for (let tries = 1; ; tries++)
    try {
      removal(socket, isGone).commit(socket);
      return;
    } catch (error) {
      if (!(error instanceof NetlinkError) || error.errno !== constants.errno.ENOENT || tries === TRIES) throw error;
    }
}

function removal(socket: NetfilterSocket, isGone: (port: string) => boolean): NftablesBatch {
  const batch = new NftablesBatch();
  const isOfGone = (name: string) => {
    const port = portOfName(name);
    return port !== undefined && isGone(port);
  };
  const ports = new Set<string>();
  for (const { table, map } of MAPS) {
    const elements = mapTargets(socket, table, map).filter(({ chain }) => isOfGone(chain));
    // an address may be another's by now: only what leads to these chains goes
    batch.removePresent(table, map, elements);
    for (const { chain } of elements) ports.add(portOfName(chain)!);
  }
  const sets = [ROUTED, PORTS].map((table) => ({ table, names: setNames(socket, table).filter(isOfGone) }));
  for (const { names } of sets) for (const name of names) ports.add(portOfName(name)!);
  for (const table of [ROUTED, PORTS])
    for (const port of ports) for (const what of CHAINS) batch.removeChain(table, `${port}-${what}`);
  for (const { table, names } of sets) for (const name of names) batch.removeSet(table, name);
  return batch;
}
