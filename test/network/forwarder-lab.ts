/**
 * A host of one's own with a network and a container on it, as namespaces: for tests of the forwarder. It runs as root
 * of a user namespace (`unshare -Urn`), whose network namespace plays the host. Not a test itself.
 */
import { execFileSync, spawn, type ChildProcess } from 'node:child_process';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { Fd, open } from '../../src/host/fd.ts';

export const HOST4 = '198.51.100.1';
export const CLIENT4 = '198.51.100.3';
export const HOST6 = '2001:db8::1';
export const CLIENT6 = '2001:db8::3';
/** a client of the host's whose address the network's subnet has as well */
export const CLIENT_OF_SUBNET = '172.28.9.9';
export const NETWORK4 = { gateway: '172.28.0.1', prefix: 16, container: '172.28.0.2' };
export const NETWORK6 = { gateway: 'fd28::1', prefix: 64, container: 'fd28::2' };

/** The order's packet path, as far as a forwarder needs it: answers to transparent sockets are for this machine. */
const NETWORK = `
ip link set lo up
echo 0 >/proc/sys/net/ipv6/conf/default/accept_dad
ip link add br0 type bridge mcast_snooping 0
ip link set br0 mtu 65520 up
ip addr add ${NETWORK4.gateway}/${NETWORK4.prefix} dev br0
ip -6 addr add ${NETWORK6.gateway}/${NETWORK6.prefix} dev br0 nodad
for file in all default br0; do echo 0 >/proc/sys/net/ipv4/conf/$file/rp_filter; done
ip rule add pref 100 fwmark 1 lookup 100
ip route add local default dev lo table 100
ip -6 rule add pref 100 fwmark 1 lookup 100
ip -6 route add local default dev lo table 100
nft 'table inet husk { chain pre { type filter hook prerouting priority mangle; meta l4proto { tcp, udp } socket transparent 1 meta mark set 1 accept; }; }'
ip link add v2 mtu 65520 type veth peer name eth0 mtu 65520 netns $CONTAINER
ip link set v2 master br0 up
nsenter --target $CONTAINER --net sh -ec '
ip link set lo up
echo 0 >/proc/sys/net/ipv6/conf/eth0/accept_dad
ip addr add ${NETWORK4.container}/${NETWORK4.prefix} dev eth0
ip -6 addr add ${NETWORK6.container}/${NETWORK6.prefix} dev eth0 nodad
ip link set eth0 up
ip route add default via ${NETWORK4.gateway}
ip -6 route add default via ${NETWORK6.gateway}'`;
const HOST = `
ip link set lo up
for address in ${HOST4} ${CLIENT4} ${CLIENT_OF_SUBNET}; do ip addr add $address/32 dev lo; done
for address in ${HOST6} ${CLIENT6}; do ip -6 addr add $address/128 dev lo nodad; done`;

// first: a package for building has a program of the name nft
const env = { ...process.env, PATH: `/usr/sbin:/sbin:${process.env['PATH']}` };

export interface Lab extends Disposable {
  users: Fd;
  namespace: Fd;
  /** resolves with the next line that the container's servers say */
  said(): Promise<string>;
}

export async function makeLab(): Promise<Lab> {
  execFileSync('sh', ['-ec', HOST], { env });
  const network = spawn('unshare', ['--user', '--map-root-user', '--net', 'sh', '-c', 'echo ready; exec cat'], {
    stdio: ['pipe', 'pipe', 'inherit'],
    env,
  });
  await lines(network)();
  const enter = ['--target', String(network.pid), '--user', '--net', '--preserve-credentials'];
  const server = [
    process.execPath,
    '--disable-warning=ExperimentalWarning',
    join(import.meta.dirname, 'container-server.ts'),
  ];
  const container = spawn('nsenter', [...enter, 'unshare', '--net', ...server], {
    stdio: ['pipe', 'pipe', 'inherit'],
    env,
  });
  const said = lines(container);
  await said();
  execFileSync('nsenter', [...enter, 'sh', '-ec', NETWORK], {
    env: { ...env, CONTAINER: String(container.pid) },
    stdio: ['ignore', 'inherit', 'inherit'],
  });
  const users = open(`/proc/${network.pid}/ns/user`, 0);
  const namespace = open(`/proc/${network.pid}/ns/net`, 0);
  return {
    users,
    namespace,
    said,
    [Symbol.dispose]() {
      users.close();
      namespace.close();
      container.kill('SIGKILL');
      network.kill('SIGKILL');
    },
  };
}

function lines(child: ChildProcess): () => Promise<string> {
  const iterator = createInterface(child.stdout!)[Symbol.asyncIterator]();
  return async () => (await iterator.next()).value as string;
}
