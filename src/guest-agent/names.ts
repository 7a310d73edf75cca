/**
 * The container's name server in the guest: its sockets on 127.0.0.11 of the container's network namespace, and the
 * relay to the host, which answers (src/network/names/). Loaded only for a container that has names.
 */
import type { Duplex } from 'node:stream';
import { inNetworkNamespace } from '../host/kernel/network-namespace.ts';
import { askingSocket, boundSocket, localPort } from '../host/streams/inet-socket.ts';
import { NetfilterSocket } from '../host/streams/nftables.ts';
import { NAME_SERVER } from '../network/names/address.ts';
import { dnsRedirect } from '../network/names/dns-redirect.ts';
import { openRelay } from '../network/names/relay-guest.ts';
import { containerResolver } from '../network/names/resolver-sockets.ts';
import { startNameServer } from '../network/names/server.ts';

/**
 * It serves until the host ends the relay.
 * @param pid of a process in the namespace, which lasts as long as the container @param relay a stream to the host
 * @throws SyscallError, NetlinkError
 */
export function serveNames(pid: number, relay: Duplex): void {
  const { udp, tcp } = inNetworkNamespace(pid, () => {
    // the kernel chooses the ports: the container may have a server of its own at port 53
    const sockets = { udp: boundSocket('udp', NAME_SERVER, 0), tcp: boundSocket('tcp', NAME_SERVER, 0) };
    using netfilter = NetfilterSocket.open();
    dnsRedirect(netfilter, { udpPort: localPort(sockets.udp), tcpPort: localPort(sockets.tcp) });
    return sockets;
  });
  const { respond } = openRelay(relay, {
    resolver: (address) =>
      containerResolver(address, async (kind, family) => inNetworkNamespace(pid, () => askingSocket(kind, family))),
    ended: () => server.close(),
  });
  const server = startNameServer({
    udp,
    tcp,
    respond,
    problem: (error) => console.error(`agent: name server: ${String(error)}`),
  });
}
