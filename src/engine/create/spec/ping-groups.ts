/**
 * Who may ping without CAP_NET_RAW: the value of net.ipv4.ping_group_range, icmp(7). The kernel takes two groups that
 * the namespace has, in the order of their numbers inside, and then compares host ids (net/ipv4/sysctl_net_ipv4.c,
 * ipv4_ping_group_range; net/ipv4/ping.c, ping_init_sock). Pure.
 */
import type { IdMapping } from '../../../spec.ts';

/** Docker's, where every group exists */
export const ALL_GROUPS = '0 2147483647';

/**
 * @returns the range of container gids whose host gids have as many of the map's between them as there can be;
 * undefined for an empty map
 */
export function pingGroupRange(map: readonly IdMapping[]): string | undefined {
  let best: { range: string; groups: number } | undefined;
  for (const low of map) {
    for (const high of map) {
      const [first, last] = [low.containerID, high.containerID + high.size - 1];
      const [from, to] = [low.hostID, high.hostID + high.size - 1];
      if (last < first || to < from) continue;
      const groups = map.reduce(
        (sum, { hostID, size }) => sum + Math.max(0, Math.min(to, hostID + size - 1) - Math.max(from, hostID) + 1),
        0,
      );
      if (best === undefined || groups > best.groups) best = { range: `${first} ${last}`, groups };
    }
  }
  return best?.range;
}
