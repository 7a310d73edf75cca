/**
 * A container's name server: on 127.0.0.11 of its own namespace, answering out of the records of networks, and from
 * resolvers what those do not know. One for each container, in its supervisor.
 */
import type { DatabaseSync } from 'node:sqlite';
import type { Fd } from '../../host/fd.ts';
import { localPort } from '../../host/streams/inet-socket.ts';
import { NetfilterSocket } from '../../host/streams/nftables.ts';
import type { Sockets } from '../../launch/executor.ts';
import { dnsRedirect } from '../names/dns-redirect.ts';
import { containerResolver, hostResolver, type SocketMaker } from '../names/resolver-sockets.ts';
import { responder } from '../names/responder.ts';
import { startNameServer, type NameServer } from '../names/server.ts';
import { Upstream } from '../names/upstream.ts';
import { namesIn } from '../records/names.ts';
import type { ContainerEgress } from './container-egress.ts';

export interface NameServiceOptions {
  database: DatabaseSync;
  containerId: string;
  resolvers: readonly { address: string; from: 'host' | 'container' }[];
  ndotsSet: boolean;
  /** off while all networks of the container are internal */
  forward: boolean;
  /** makes sockets in the container's namespace, for resolvers that are asked from there */
  makeSocket: SocketMaker;
  problem: (error: unknown) => void;
  /** its rules, when it has any: they decide what may be asked and answered */
  egress?: Pick<ContainerEgress, 'namesOf' | 'policy'> | undefined;
}

/** @param sockets of the container's namespace; what the server needs of them is its own from here on */
export function startNameService(
  sockets: Sockets,
  options: NameServiceOptions,
): NameServer & { forward(on: boolean): void } {
  const { database, containerId } = options;
  const { udp, tcp, netfilter } = sockets as { udp: Fd; tcp: Fd; netfilter: Fd };
  dnsRedirect(new NetfilterSocket(netfilter), { udpPort: localPort(udp), tcpPort: localPort(tcp) });
  const upstream = new Upstream(
    options.resolvers.map(({ address, from }) =>
      from === 'host' ? hostResolver(address) : containerResolver(address, options.makeSocket),
    ),
    { forward: options.forward },
  );
  const known = namesIn(database);
  const respond = responder({
    asker: containerId,
    names: options.egress?.namesOf(known) ?? known,
    ...(options.egress && { policy: options.egress.policy(known) }),
    upstream,
    ndotsSet: options.ndotsSet,
    problem: options.problem,
  });
  const server = startNameServer({ udp, tcp, respond, problem: options.problem });
  return {
    close: () => {
      server.close();
      upstream.close();
    },
    forward: (on) => void (upstream.forward = on),
  };
}
