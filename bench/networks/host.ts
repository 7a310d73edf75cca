/**
 * What the bench of networks needs of this host: a way out for the ordinary user that the peers run as, Podman's parts
 * for networks, and a bridge without anybody's rules to compare with. Changes nothing that others on the host see.
 */
import { spawnSync } from 'node:child_process';
import { existsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { asUser, type Peer } from '../peers.ts';

/** set in the run that has namespaces of its own */
const PRIVATE = 'BENCH_IS_PRIVATE';

/** A tun device of this run's own, which its users may open (Linux: character device 10, 200). */
const WITH_OWN_TUN = `
  folder=$(mktemp -d)
  mount -t tmpfs -o mode=755 tun "$folder"
  mknod -m 666 "$folder/tun" c 10 200
  mount --bind "$folder/tun" /dev/net/tun
  umount -l "$folder"
  rmdir "$folder"
  exec "$@"`;

/** A command of the peers' user's, outside of all containers. @returns what it prints. @throws when it fails */
export function onHost(peer: Peer, ...command: string[]): string {
  const [program, ...args] = [...asUser, ...command];
  const { status, stdout, stderr } = spawnSync(program!, args, { env: peer.environment, encoding: 'utf8' });
  if (status !== 0) throw new Error(`${command.join(' ')}: ${stderr}`);
  return stdout.trim();
}

/**
 * pasta and slirp4netns make a tun device. For root the whole run happens again with a device of its own that the
 * peers' user may open, in a pid namespace of its own too: there is nobody else then whose memory could be counted, and
 * nothing outlives the run. This process ends with it.
 * @throws for an ordinary user who may not make one: peers without a way out are not compared
 */
export function enterNamespaces(): void {
  if (process.env[PRIVATE] !== undefined) return;
  if (process.getuid!() !== 0) {
    if (spawnSync('sh', ['-c', ': <>/dev/net/tun'], { stdio: 'ignore' }).status === 0) return;
    throw new Error('the way out needs /dev/net/tun, which is closed to this user');
  }
  const own = ['--mount', '--pid', '--fork', '--kill-child', '--mount-proc'];
  const { status } = spawnSync('unshare', [...own, 'sh', '-ec', WITH_OWN_TUN, 'sh', ...process.argv], {
    stdio: 'inherit',
    env: { ...process.env, [PRIVATE]: '1' },
  });
  process.exit(status ?? 1);
}

/** what Podman makes networks of one's own with (Debian's packages netavark and aardvark-dns) */
const PARTS = ['netavark', 'aardvark-dns'].map((name) => join('/usr/lib/podman', name));

/** Podman takes another backend where it finds what an older one left. @returns what is missing for networks */
export function useNetavark(peer: Peer): string | undefined {
  const missing = [...PARTS, '/usr/bin/slirp4netns'].find((path) => !existsSync(path));
  if (missing !== undefined) return `${missing} is missing`;
  const file = join(peer.environment['XDG_CONFIG_HOME']!, 'containers/containers.conf');
  writeFileSync(file, '[network]\nnetwork_backend = "netavark"\n');
  return undefined;
}

/**
 * Two network namespaces on a bridge without rules, in a user namespace of the peers' user's: a server in the one, and

 * in the other a client of it. Frames are as large as husk's (65520 bytes).
 */
const BARE_BRIDGE = `
  traffic=$1
  mount -t tmpfs tmpfs /run
  ip link add br0 mtu 65520 type bridge
  ip link set br0 up
  for name in a b; do
    ip netns add $name
    ip link add port-$name mtu 65520 type veth peer name eth0 mtu 65520 netns $name
    ip link set port-$name master br0 up
    nsenter --net=/run/netns/$name ip link set eth0 up
  done
  nsenter --net=/run/netns/a ip address add 10.0.0.1/24 dev eth0
  nsenter --net=/run/netns/b ip address add 10.0.0.2/24 dev eth0
  nsenter --net=/run/netns/a "$traffic" serve 5000 >/run/ready &
  until [ -s /run/ready ]; do sleep 0.01; done
  nsenter --net=/run/netns/b "$traffic" "$2" 10.0.0.1 5000 "$3"
  kill $!`;

/** before a script that may make networks, and what of it still runs ends with it */
const IN_NAMESPACES = 'unshare --user --map-root-user --net --mount --pid --fork --kill-child sh -ec'.split(' ');

/** @returns what `traffic WHAT` prints between two ends of a bare bridge */
export const onBareBridge = (peer: Peer, traffic: string, what: string, amount: number): number =>
  Number(onHost(peer, ...IN_NAMESPACES, BARE_BRIDGE, 'sh', traffic, what, String(amount)));
