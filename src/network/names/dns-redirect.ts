/**
 * The address 127.0.0.11 inside of a container: what goes to port 53 there comes to sockets of the name server at ports
 * of the kernel's choosing, and answers leave from port 53 again. Ports are rewritten packet by packet: the container
 * needs no connection tracking, and may have a server of its own at port 53 of every address.
 */
import { addressBytes } from '../../host/streams/address-bytes.ts';
import { NftablesBatch, type NetfilterSocket, type Table } from '../../host/streams/nftables.ts';
import { compare, setTransport } from '../../host/streams/nftables-expressions.ts';
import { address, destinationPort, portBytes, sourcePort, transport } from '../../host/streams/packet-fields.ts';
import { NAME_SERVER } from './address.ts';

const DNS = 53;
/** linux/netfilter_ipv4.h: NF_IP_PRI_MANGLE */
const MANGLE = -150;
/** bytes into the header: ports, the same in both (RFC 768, RFC 9293 §3.1), and checksums */
const SOURCE_PORT = 0;
const DESTINATION_PORT = 2;
const CHECKSUM = { udp: 6, tcp: 16 };

const TABLE: Table = { family: 'ip', name: 'husk-dns' };
const CHAIN = 'output';

/** @param container its netfilter socket @throws NetlinkError */
export function dnsRedirect(container: NetfilterSocket, ports: { udpPort: number; tcpPort: number }): void {
  const batch = new NftablesBatch().table(TABLE);
  // a chain of type route: what its packets have become decides where they go
  batch.chain(TABLE, CHAIN, { type: 'route', hook: 'output', priority: MANGLE, policy: 'accept' });
  batch.flushChain(TABLE, CHAIN);
  const server = compare(addressBytes(NAME_SERVER));
  for (const [protocol, port] of [
    ['udp', ports.udpPort],
    ['tcp', ports.tcpPort],
  ] as const) {
    const set = (offset: number, to: number) => setTransport(offset, portBytes(to), CHECKSUM[protocol]);
    const asked = [address('ip', 'destination'), server, ...transport(protocol), ...destinationPort(DNS)];
    const answered = [address('ip', 'source'), server, ...transport(protocol), ...sourcePort(port)];
    batch.rule(TABLE, CHAIN, asked, set(DESTINATION_PORT, port));
    batch.rule(TABLE, CHAIN, answered, set(SOURCE_PORT, DNS));
  }
  batch.commit(container);
}
