/**
 * The names of a container in a VM: the engine opens sockets to the host's resolvers before the machine's process loses
 * its network, and that process answers out of the records of networks, by a relay to the guest. It asks the host's
 * resolvers by those sockets, and has the guest ask whatever a socket of the container's own has to be for: the
 * resolvers of `--dns`, and the host's by TCP.
 */
import type { Duplex } from 'node:stream';
import type { DatabaseSync } from 'node:sqlite';
import type { Fd } from '../../host/fd.ts';
import { connectedSocket } from '../../host/streams/inet-socket.ts';
import { SyscallError } from '../../host/libc.ts';
import { handedResolver, type HandedSocket } from '../names/handed-resolver.ts';
import { type AskGuest, serveRelay } from '../names/relay-host.ts';
import { responder } from '../names/responder.ts';
import { MOST_RESOLVERS, type Resolver, Upstream } from '../names/upstream.ts';
import type { Network } from '../records/contract.ts';
import { isPredefined } from '../records/name.ts';
import { namesIn } from '../records/names.ts';
import type { OwnResolvConf } from '../resolv-conf.ts';
import { DNS_FORWARDER } from '../way-out.ts';
import { isLoopback } from '../../notation/ip.ts';

const DNS_PORT = 53;

/** What a machine's process is told; as JSON. */
export interface MachineNames {
  resolvers: {
    address: string;
    from: 'host' | 'container';
    /** which of the sockets that were handed over is connected to it; absent: the host has no way to it now */
    socket?: number;
  }[];
  ndotsSet: boolean;
  /** off where all networks of the container are internal */
  forward: boolean;
}

/** @returns the sockets, which are the caller's to close; undefined for a container that has no names */
export function openMachineNames(
  networks: readonly Pick<Network, 'name' | 'internal'>[],
  { resolvers, ndotsSet }: Pick<OwnResolvConf, 'resolvers' | 'ndotsSet'>,
): { names: MachineNames; sockets: Fd[] } | undefined {
  if (networks.every(({ name }) => isPredefined(name))) return undefined;
  const sockets: Fd[] = [];
  const asked = resolvers.slice(0, MOST_RESOLVERS).map((resolver) => {
    const socket = resolver.from === 'host' ? socketTo(resolver.address) : undefined;
    return socket ? { ...resolver, socket: sockets.push(socket) - 1 } : resolver;
  });
  return { names: { resolvers: asked, ndotsSet, forward: networks.some(({ internal }) => !internal) }, sockets };
}

function socketTo(address: string): Fd | undefined {
  try {
    return connectedSocket(address, DNS_PORT);
  } catch (error) {
    // a host without a route, or without IPv6; the container may have a way to it later
    if (error instanceof SyscallError) return undefined;
    throw error;
  }
}

/** What a machine's process answers out of. */
export interface MachineNameContext {
  database: DatabaseSync;
  /** told of what went wrong without ending the container */
  problem: (error: unknown) => void;
}

interface MachineNameOptions extends MachineNameContext {
  names: MachineNames;
  /** in the order in which they were opened */
  sockets: readonly HandedSocket[];
  containerId: string;
}

/** Answers the guest by a stream that its agent has opened, until that ends. */
export function serveMachineNames(stream: Duplex, options: MachineNameOptions): void {
  const { names, sockets, database, containerId, problem } = options;
  serveRelay(stream, {
    answering: (askGuest) => {
      const upstream = new Upstream(
        names.resolvers.map((resolver) => resolverOf(resolver, sockets, askGuest)),
        { forward: names.forward },
      );
      const respond = responder({
        asker: containerId,
        names: namesIn(database),
        upstream,
        ndotsSet: names.ndotsSet,
        problem,
      });
      return { respond, close: () => upstream.close() };
    },
    problem,
  });
}

function resolverOf(
  { address, from, socket }: MachineNames['resolvers'][number],
  sockets: readonly HandedSocket[],
  askGuest: AskGuest,
): Resolver {
  // the host's loopback is reached by the network's way out alone
  const there = from === 'host' && isLoopback(address) ? DNS_FORWARDER : address;
  const byGuest: Resolver['ask'] = (query, protocol, call) => askGuest(there, query, protocol, call);
  return from === 'host'
    ? handedResolver(socket === undefined ? undefined : sockets[socket], byGuest)
    : { from, ask: byGuest, close: () => {} };
}
