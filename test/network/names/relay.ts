/** Both ends of a relay in one process: an agent's with sockets of its own, and a host's with names and resolvers. */
import { duplexPair } from 'node:stream';
import type { ExecutionContext } from 'ava';
import { askingSocket } from '../../../src/host/streams/inet-socket.ts';
import { openRelay } from '../../../src/network/names/relay-guest.ts';
import { type AskGuest, serveRelay } from '../../../src/network/names/relay-host.ts';
import { containerResolver } from '../../../src/network/names/resolver-sockets.ts';
import { responder } from '../../../src/network/names/responder.ts';
import { startNameServer } from '../../../src/network/names/server.ts';
import { type Resolver, Upstream } from '../../../src/network/names/upstream.ts';
import { ASKER, NAMES } from './fake-names.ts';
import { serverSockets } from './loopback.ts';

interface HostEnd {
  resolvers?: (askGuest: AskGuest) => Resolver[];
  patience?: number;
}

/** A host's end on a stream. @returns what went wrong, and whether what stands behind it was closed */
export function hostEnd(
  stream: Parameters<typeof serveRelay>[0],
  { resolvers = () => [], patience = 60_000 }: HostEnd = {},
) {
  const problems: string[] = [];
  const state = { problems, closed: false };
  const problem = (error: unknown) => problems.push(String(error));
  serveRelay(stream, {
    answering: (askGuest) => {
      const upstream = new Upstream(resolvers(askGuest), { limits: { patience } });
      return {
        respond: responder({ names: NAMES, asker: ASKER, upstream, ndotsSet: false, problem }),
        close: () => {
          state.closed = true;
          upstream.close();
        },
      };
    },
    problem,
  });
  return state;
}

/** A guest's end with a server on loopback. @param dnsPort where resolvers listen that are asked from the guest */
export function relayed(t: ExecutionContext, { dnsPort, ...options }: HostEnd & { dnsPort?: number } = {}) {
  const [guest, host] = duplexPair();
  const end = hostEnd(host, options);
  const { udp, tcp, port } = serverSockets();
  const { respond } = openRelay(guest, {
    resolver: (address) =>
      containerResolver(address, async (kind, family) => askingSocket(kind, family), { port: dnsPort! }),
    ended: () => server.close(),
  });
  const server = startNameServer({ udp, tcp, respond, problem: (error) => t.fail(String(error)) });
  t.teardown(() => guest.destroy());
  return { port, guest, host, ...end, end };
}
