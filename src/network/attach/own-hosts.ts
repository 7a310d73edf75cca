/**
 * The lines of /etc/hosts that a container has of its networks: its own addresses, then those of the containers it is
 * linked to (src/network/hosts-lines.ts). Source: moby libnetwork's sandbox_dns_unix.go. Pure.
 */
import type { EndpointState } from '../../state/containers.ts';

/** @param linked lines about others */
export function hostsLines(
  endpoints: readonly EndpointState[],
  { hostname, domainname }: { hostname: string; domainname?: string | undefined },
  linked: readonly string[] = [],
): string {
  const names = domainname ? `${hostname}.${domainname} ${hostname}` : hostname;
  const own = endpoints.flatMap(({ ipv4, ipv6 }) => [ipv4?.address, ipv6?.address].filter((one) => one !== undefined));
  return [...own.map((address) => `${address}\t${names}\n`), ...linked.map((line) => `${line}\n`)].join('');
}
