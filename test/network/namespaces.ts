/**
 * Networks and members for tests of this room, made by a process that is root of a network namespace of its own
 * (`laboratory`): sockets made in other namespaces are used from here, so that nothing needs to be waited for. Not a
 * test itself.
 */
import { execFileSync, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, statSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { constants } from 'node:os';
import { Fd, open } from '../../src/host/fd.ts';
import { inNetworkNamespace } from '../../src/host/kernel/network-namespace.ts';
import { checked } from '../../src/host/libc.ts';
import { addressBytes, macBytes } from '../../src/host/streams/address-bytes.ts';
import { concatenate, interfaceKey, NetfilterSocket, NftablesBatch } from '../../src/host/streams/nftables.ts';
import * as expressions from '../../src/host/streams/nftables-expressions.ts';
import { Rtnetlink } from '../../src/host/streams/rtnetlink.ts';
import { readPacket, writePacket } from '../../src/host/streams/packet-fd.ts';
import { receive, send as sendMessage, streamPair } from '../../src/host/streams/socket.ts';
import { systemCall } from '../../src/host/system-call.ts';
import { setUpBridge, type BridgeSetup, type NetworkSockets } from '../../src/network/bridge.ts';
import { attachEndpoint, attachTap, detachEndpoint, rulesOf, type Endpoint } from '../../src/network/endpoint.ts';
import { endpointRules, networkRules, type EndpointRules } from '../../src/network/rules.ts';
import { dnsRedirect } from '../../src/network/names/dns-redirect.ts';
import { launch } from '../../src/launch/executor.ts';
import { INIT_PROGRAM } from '../../src/program.ts';
import { TUN } from '../../src/network/way-out.ts';
import { NetlinkError, NetlinkSocket } from '../../src/host/streams/netlink-socket.ts';
import { missingParts } from '../../src/network/trial.ts';
import { checksum } from './checksum.ts';
import { ordinaryUser, TIMEOUT } from '../fixtures/user.ts';

export * as egress from './egress/laboratory.ts';
export {
  addressBytes as bytesOf,
  attachEndpoint,
  concatenate,
  detachEndpoint,
  dnsRedirect,
  endpointRules,
  expressions,
  interfaceKey,
  missingParts,
  NetfilterSocket,
  networkRules,
  NftablesBatch,
  Rtnetlink,
  setUpBridge,
};

const PATH = '/usr/sbin:/usr/bin:/sbin:/bin';
/** as whom a test's scenario runs */
export const WHO = process.getuid!() === 0 ? (['user', 'root'] as const) : (['user'] as const);
/** whether the machine has the judges */
export const ABLE = ['nft', 'ip', 'bridge'].every(
  (program) => spawnSync(program, ['-V'], { env: { PATH }, stdio: 'ignore' }).error === undefined,
);

/** bits/socket.h, netinet/in.h, linux/if_ether.h, linux/if_packet.h */
const AF_INET = 2;
const AF_INET6 = 10;
const AF_NETLINK = 16;
const AF_PACKET = 17;
const SOCK_STREAM = 1;
const SOCK_DGRAM = 2;
const SOCK_RAW = 3;
const SOCK_CLOEXEC = 0o2000000;
const ETH_P_ALL = 0x0300; // in network order
/** bytes of struct sockaddr_ll */
const SOCKADDR_LL = 20;
const PACKET_OUTGOING = 4;
const SOL_SOCKET = 1;
const SO_RCVTIMEO = 20;
const SO_SNDTIMEO = 21;
const SOL_IP = 0;
const IP_TRANSPARENT = 19;
const SOL_IPV6 = 41;
const IPV6_TRANSPARENT = 75;
const IPV6_V6ONLY = 26;
const MSG_DONTWAIT = 0x40;
/** s; only what is lost waits so long */
const PATIENCE = 5;

const c_socket = systemCall<(domain: number, type: number, protocol: number) => number>(
  'int socket(int domain, int type, int protocol)',
);
const c_bind = systemCall<(fd: number, address: Uint8Array, length: number) => number>(
  'int bind(int fd, const void *address, unsigned int length)',
);
const c_connect = systemCall<(fd: number, address: Uint8Array, length: number) => number>(
  'int connect(int fd, const void *address, unsigned int length)',
);
const c_setsockopt = systemCall<
  (fd: number, level: number, name: number, value: BigInt64Array | Int32Array, length: number) => number
>('int setsockopt(int fd, int level, int name, const void *value, unsigned int length)');
const c_sendto = systemCall<
  (fd: number, bytes: Uint8Array, length: number, flags: number, to: Uint8Array | null, toLength: number) => number
>('int64_t sendto(int fd, const void *bytes, size_t length, int flags, const void *to, unsigned int to_length)');
const c_recvfrom = systemCall<
  (
    fd: number,
    bytes: Uint8Array,
    length: number,
    flags: number,
    from: Uint8Array | null,
    fromLength: Int32Array | null,
  ) => number
>('int64_t recvfrom(int fd, void *bytes, size_t length, int flags, void *from, void *from_length)');

/** What scenarios have in hand. */
type Laboratory = typeof import('./namespaces.ts');

/** whether virtual machines can be stood for as this person: /dev/net/tun is often root's alone */
export const hasTun = (who: 'user' | 'root'): boolean =>
  existsSync(TUN) && (who === 'root' || (statSync(TUN).mode & 0o006) === 0o006);

/**
 * Runs a scenario in a process that is root of a new network namespace, of a user namespace of an ordinary user or of
 * the machine's own; with `outside` in no namespace but the machine's. The scenario is given as its text: it must not
 * refer to anything but its arguments. @param options.given its second one, as JSON @returns what it returns
 */
export function laboratory<T, G = undefined>(
  who: 'user' | 'root',
  scenario: (lab: Laboratory, given: G) => Promise<T>,
  { outside = false, given }: { outside?: boolean; given?: G } = {},
): T {
  using user = ordinaryUser();
  const program = `
    const lab = await import(${JSON.stringify(import.meta.filename)});
    try { process.stdout.write(JSON.stringify(await (${scenario.toString()})(lab, ${JSON.stringify(given)}))); } finally { lab.end(); }`;
  const node = [process.execPath, '--disable-warning=ExperimentalWarning', '--input-type=module', '-e', program];
  const { stdout, stderr } =
    who === 'user'
      ? user.run(outside ? node : ['unshare', '-Urn', ...node])
      : spawnSync('unshare', [...(outside ? ['-m'] : ['-n']), ...node], {
          encoding: 'utf8',
          timeout: TIMEOUT,
          maxBuffer: 1 << 26,
        });
  if (stderr !== '') throw new Error(stderr);
  return JSON.parse(stdout) as T;
}

const children: (() => void)[] = [];

/** Ends every process that holds a namespace. */
export function end(): void {
  for (const stop of children) stop();
}

/** A network namespace of its own, held by a process; in a user namespace below, as a container's is. */
export async function namespace(): Promise<{
  pid: number;
  route: Rtnetlink;
  nftables: NetfilterSocket;
  namespace: Fd;
}> {
  const child = spawn('unshare', ['-Urn', 'sh', '-c', 'echo; exec sleep 1000'], {
    stdio: ['ignore', 'pipe', 'inherit'],
    env: { PATH },
  });
  children.push(() => child.kill('SIGKILL'));
  await once(child.stdout, 'data');
  const pid = child.pid!;
  const route = inNetworkNamespace(pid, () => Rtnetlink.open());
  route.setUp(route.linkIndex('lo')!);
  const nftables = inNetworkNamespace(pid, () => NetfilterSocket.open());
  return { pid, route, nftables, namespace: open(`/proc/${pid}/ns/net`, 0) };
}

/**
 * The sockets as those of a kernel that has not all: what is asked in these words is refused as the kernel refuses what
 * it does not know.
 */
export function lacking<T extends NetworkSockets>(sockets: T, words: string): T {
  const refuse = (asked: string) => {
    if (asked.includes(words)) throw new NetlinkError('nf_tables', constants.errno.ENOENT, asked);
  };
  const { nftables, route } = sockets;
  nftables.transaction = (requests, acknowledged) => {
    for (const { asked } of requests) refuse(asked);
    NetfilterSocket.prototype.transaction.call(nftables, requests, acknowledged);
  };
  route.addBridge = (name, options) => (
    refuse(`add link ${name}`),
    Rtnetlink.prototype.addBridge.call(route, name, options)
  );
  route.addVeth = (name, end) => (refuse(`add link ${name}`), Rtnetlink.prototype.addVeth.call(route, name, end));
  return sockets;
}

/** Sockets made inside of a user and network namespace and passed to this process, which is in neither. */
export async function passed(): Promise<NetworkSockets & { pid: number }> {
  const { near, far } = streamPair();
  const program = `
    const lab = await import(${JSON.stringify(import.meta.filename)});
    lab.pass(3);
    process.stdin.resume().on('end', () => process.exit());`;
  const node = [process.execPath, '--disable-warning=ExperimentalWarning', '--input-type=module', '-e', program];
  const child = spawn('unshare', ['-Urn', ...node], { stdio: ['pipe', 'pipe', 'inherit', far.number] });
  children.push(() => child.kill('SIGKILL'));
  far.close();
  await once(child.stdout!, 'data');
  const [route, nftables] = receive(near.number)!.fds;
  near.close();
  return { route: new Rtnetlink(route!), nftables: new NetfilterSocket(nftables!), pid: child.pid! };
}

/** The other side of `passed`. */
export function pass(socket: number): void {
  const made = (['rtnetlink', 'nf_tables'] as const).map((protocol) => NetlinkSocket.make(protocol));
  sendMessage(
    socket,
    Buffer.from('sockets'),
    made.map(({ number }) => number),
  );
  process.stdout.write('sent');
}

const GATEWAY_MAC = '02:42:0a:00:00:01';
export const BOTH = { versions: { ip: 'nat', ip6: 'nat' } } as const;
const MTU = 65520;

/** This process's namespace as a network, 10.0.0.0/24 and fd00:a::/64. */
export function network(rules: BridgeSetup['rules'] = BOTH): NetworkSockets & { bridge: number } {
  for (const [name, value] of [
    ['ipv4/ip_forward', 1],
    ['ipv4/conf/all/rp_filter', 0],
    ['ipv4/conf/default/rp_filter', 0],
    ['ipv6/conf/all/forwarding', 1],
  ])
    writeFileSync(`/proc/sys/net/${name}`, `${value}`);
  for (const table of ['ip', 'ip6', 'arp'])
    try {
      writeFileSync(`/proc/sys/net/bridge/bridge-nf-call-${table}tables`, '0');
    } catch {
      // br_netfilter is not there: it calls nobody
    }
  const sockets = { route: Rtnetlink.open(), nftables: NetfilterSocket.open() };
  return { ...sockets, bridge: setUpBridge(sockets, setup(rules)).bridge };
}

export function setup(rules: BridgeSetup['rules'] = BOTH): BridgeSetup {
  const addresses = [
    { address: '10.0.0.1', prefix: 24 },
    { address: 'fd00:a::1', prefix: 64 },
  ];
  return { mac: GATEWAY_MAC, mtu: MTU, addresses, rules };
}

export function endpoint(number: number, isolated = false): Endpoint {
  return {
    interface: 'eth0',
    port: `v${number}`,
    mac: `02:42:0a:00:00:${number.toString(16).padStart(2, '0')}`,
    ipv4: { address: `10.0.0.${number}`, prefix: 24, gateway: '10.0.0.1' },
    ipv6: { address: `fd00:a::${number.toString(16)}`, prefix: 64, gateway: 'fd00:a::1' },
    mtu: MTU,
    isolated,
  };
}

/** What the rules know of it. */
export function endpointOf(number: number): EndpointRules {
  return rulesOf(endpoint(number));
}

export async function member(of: ReturnType<typeof network>, number: number, { isolated = false } = {}) {
  const container = await namespace();
  const wanted = endpoint(number, isolated);
  const { index } = attachEndpoint(of, container, wanted);
  return { ...container, index, endpoint: wanted, rules: rulesOf(wanted), packets: packets(container.pid, index) };
}

/** A place as a virtual machine has it: the frames of its network device are written to and read from the tap. */
export async function machine(of: ReturnType<typeof network>, number: number, { isolated = false } = {}) {
  const wanted = endpoint(number, isolated);
  let tap: Fd | undefined;
  const options = { init: INIT_PROGRAM, stdin: 'null', stdout: 'null', stderr: 'null' } as const;
  await launch([{ op: 'tap', name: wanted.port }, { op: 'exit' }], {
    ...options,
    onSockets: (made) => (tap = made.tap),
  }).started;
  attachTap(of, wanted);
  return { endpoint: wanted, rules: rulesOf(wanted), tap: tap! };
}

/**
 * A way out of the network: `out`, as pasta would make it, and a world behind it, with these addresses of its own and
 * servers at ports 53 and 80 of all of them.
 */
export async function world(addresses: readonly string[] = []) {
  const outside = await namespace();
  const far = (command: string) => judge(command, outside.pid);
  judge(`ip link add out type veth peer name eth0 netns ${outside.pid}`);
  judge('ip addr add 169.254.2.2/30 dev out');
  judge('ip -6 addr add fd00:2::2/64 dev out nodad');
  judge('ip link set out up');
  far('ip addr add 169.254.2.1/30 dev eth0');
  far('ip -6 addr add fd00:2::1/64 dev eth0 nodad');
  far('ip link set eth0 up');
  for (const address of addresses) far(`ip addr add ${address} dev lo`);
  judge('ip route add default via 169.254.2.1');
  judge('ip -6 route add default via fd00:2::1');
  const ports = [80, 53].flatMap((port) => [serve(outside.pid, '0.0.0.0', port), serve(outside.pid, '::', port)]);
  const [next, next6] = await Promise.all(ports);
  const index = outside.route.linkIndex('eth0')!;
  return { ...outside, next: next!, next6: next6!, packets: packets(outside.pid, index) };
}

/** A raw socket of an interface in the namespace of a process. */
export function packets(pid: number, index: number): Fd {
  const address = Buffer.alloc(SOCKADDR_LL); // family, protocol, index, hardware type, packet type, length, address
  address.writeUInt16LE(AF_PACKET, 0);
  address.writeUInt16LE(ETH_P_ALL, 2);
  address.writeInt32LE(index, 4);
  const fd = new Fd(
    inNetworkNamespace(pid, () => checked(c_socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, ETH_P_ALL), 'socket')),
  );
  checked(c_bind(fd.number, address, address.length), 'bind');
  return fd;
}

export function send(from: { packets: Fd } | { tap: Fd }, frame: Uint8Array): void {
  if ('tap' in from) return void writePacket(from.tap.number, frame);
  const fd = from.packets;
  checked(c_sendto(fd.number, frame, frame.length, 0, null, 0), 'sendto');
}

/** Everything that has come to the interface since; not what left it. */
export function received(at: { packets: Fd } | { tap: Fd }): Buffer[] {
  const found: Buffer[] = [];
  if ('tap' in at) {
    const frame = Buffer.alloc(MTU + 14);
    for (let length; (length = readPacket(at.tap.number, frame));) found.push(Buffer.from(frame.subarray(0, length)));
    return found;
  }
  const fd = at.packets;
  const from = Buffer.alloc(SOCKADDR_LL);
  for (;;) {
    const frame = Buffer.alloc(2048);
    const length = c_recvfrom(fd.number, frame, frame.length, MSG_DONTWAIT, from, Int32Array.of(from.length));
    if (length < 0) return found;
    if (from[10] !== PACKET_OUTGOING) found.push(frame.subarray(0, length));
  }
}

/** A server in the namespace of a process. @returns what tells the address of who connects next */
export async function serve(pid: number, address: string, port: number): Promise<() => Promise<string>> {
  const fd = streamSocket(pid, address);
  const name = socketAddress(address, port);
  if (address.includes(':')) checked(c_setsockopt(fd.number, SOL_IPV6, IPV6_V6ONLY, Int32Array.of(1), 4), 'setsockopt');
  checked(c_bind(fd.number, name, name.length), 'bind', address);
  const callers: string[] = [];
  const server = createServer((socket) => {
    callers.push(socket.remoteAddress ?? 'nobody');
    socket.destroy();
  });
  children.push(() => server.close());
  await once(server.listen({ fd: fd.release() }), 'listening');
  return async () => {
    if (callers.length === 0) await once(server, 'connection');
    return callers.shift()!;
  };
}

/** @returns 0, or the errno @param options.from address of a transparent socket */
export function connect(pid: number, address: string, port: number, options: { from?: [string, number] } = {}): number {
  using fd = streamSocket(pid, address);
  if (options.from) {
    const level = address.includes(':') ? [SOL_IPV6, IPV6_TRANSPARENT] : [SOL_IP, IP_TRANSPARENT];
    checked(c_setsockopt(fd.number, level[0]!, level[1]!, Int32Array.of(1), 4), 'setsockopt');
    const own = socketAddress(...options.from);
    checked(c_bind(fd.number, own, own.length), 'bind');
  }
  const name = socketAddress(address, port);
  return -c_connect(fd.number, name, name.length);
}

/** Of this namespace, for an address of anybody's. */
export function transparentUdp(address: string, port: number): Fd {
  const fd = new Fd(checked(c_socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), 'socket'));
  checked(c_setsockopt(fd.number, SOL_IP, IP_TRANSPARENT, Int32Array.of(1), 4), 'setsockopt');
  const name = socketAddress(address, port);
  checked(c_bind(fd.number, name, name.length), 'bind');
  return fd;
}

/** A question by UDP, and its answer. @returns what the server got, and what its client, from whom */
export function echo(pid: number, server: [string, number], asked: [string, number]): [string, string] {
  const make = () => checked(c_socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), 'socket');
  const made = () => {
    const fd = new Fd(inNetworkNamespace(pid, make));
    checked(c_setsockopt(fd.number, SOL_SOCKET, SO_RCVTIMEO, BigInt64Array.of(BigInt(PATIENCE), 0n), 16), 'setsockopt');
    return fd;
  };
  using there = made();
  using here = made();
  const [own, name] = [socketAddress(...server), socketAddress(...asked)];
  checked(c_bind(there.number, own, own.length), 'bind');
  const say = (fd: Fd, text: string, to: Uint8Array) =>
    checked(c_sendto(fd.number, Buffer.from(text), text.length, 0, to, to.length), 'sendto');
  const hear = (fd: Fd) => {
    const [text, from] = [Buffer.alloc(100), Buffer.alloc(16)];
    const length = checked(c_recvfrom(fd.number, text, text.length, 0, from, Int32Array.of(from.length)), 'recvfrom');
    return { text: text.toString('latin1', 0, length), from };
  };
  say(here, 'question', name);
  const question = hear(there);
  say(there, 'answer', question.from);
  const answer = hear(here);
  const from = `${answer.from.subarray(4, 8).join('.')}:${answer.from.readUInt16BE(2)}`;
  return [question.text, `${answer.text} from ${from}`];
}

/**
 * A rtnetlink socket at a port of its own, and what puts answers into its queue that are not the kernel's: a refusal
 * and a list's end, to the request of this number.
 */
export function forgedAnswers(): { socket: Fd; forge: (sequence: number) => void } {
  const [socket, stranger] = [NetlinkSocket.make('rtnetlink'), NetlinkSocket.make('rtnetlink')];
  const port = (number: number) => {
    const name = Buffer.alloc(12); // struct sockaddr_nl: family, padding, port, groups
    name.writeUInt16LE(AF_NETLINK, 0);
    name.writeUInt32LE(number, 4);
    return name;
  };
  checked(c_bind(socket.number, port(4242), 12), 'bind');
  return {
    socket,
    forge: (sequence) => {
      for (const type of [2 /* NLMSG_ERROR */, 3 /* NLMSG_DONE */]) {
        const message = Buffer.alloc(36); // struct nlmsghdr, errno, the request's header
        message.writeUInt32LE(message.length, 0);
        message.writeUInt16LE(type, 4);
        message.writeUInt32LE(sequence, 8);
        message.writeInt32LE(type === 2 ? -19 : 0, 16); // ENODEV
        checked(c_sendto(stranger.number, message, message.length, 0, port(4242), 12), 'sendto');
      }
    },
  };
}

/** Asks for an echo. @returns whether it came */
export function ping(pid: number, address: string): boolean {
  const six = address.includes(':');
  const make = () => checked(c_socket(six ? AF_INET6 : AF_INET, SOCK_RAW | SOCK_CLOEXEC, six ? 58 : 1), 'socket');
  using fd = new Fd(inNetworkNamespace(pid, make));
  checked(c_setsockopt(fd.number, SOL_SOCKET, SO_RCVTIMEO, BigInt64Array.of(BigInt(PATIENCE), 0n), 16), 'setsockopt');
  const echo = Buffer.from([six ? 128 : 8, 0, 0, 0, 0, 1, 0, 1]);
  if (!six) echo.writeUInt16BE(checksum(echo), 2); // of ICMPv6 the kernel makes it
  const name = socketAddress(address, 0);
  checked(c_sendto(fd.number, echo, echo.length, 0, name, name.length), 'sendto');
  const answer = Buffer.alloc(2048);
  for (;;) {
    if (c_recvfrom(fd.number, answer, answer.length, 0, null, null) < 0) return false;
    if (answer[six ? 0 : 20] === (six ? 129 : 0)) return true;
  }
}

function streamSocket(pid: number, address: string): Fd {
  const domain = address.includes(':') ? AF_INET6 : AF_INET;
  const make = () => checked(c_socket(domain, SOCK_STREAM | SOCK_CLOEXEC, 0), 'socket');
  const fd = new Fd(pid === process.pid ? make() : inNetworkNamespace(pid, make));
  checked(c_setsockopt(fd.number, SOL_SOCKET, SO_SNDTIMEO, BigInt64Array.of(BigInt(PATIENCE), 0n), 16), 'setsockopt');
  return fd;
}

function socketAddress(address: string, port: number): Uint8Array {
  const six = address.includes(':');
  const name = Buffer.alloc(six ? 28 : 16); // struct sockaddr_in6, struct sockaddr_in
  name.writeUInt16LE(six ? AF_INET6 : AF_INET, 0);
  name.writeUInt16BE(port, 2);
  name.set(addressBytes(address), six ? 8 : 4);
  return name;
}

/** MAC address of an interface of this namespace. */
export function macOf(name: string): string {
  using route = Rtnetlink.open();
  return route.link(route.linkIndex(name)!)!.mac!;
}

/** What a judge says, in this namespace or in that of a process. */
export function judge(command: string, pid?: number, { user = false } = {}): string {
  const enter =
    pid === undefined ? [] : ['nsenter', '-t', `${pid}`, '-n', ...(user ? ['-U', '--preserve-credentials'] : [])];
  const [program, ...args] = [...enter, ...command.split(' ')];
  return execFileSync(program!, args, { encoding: 'utf8', env: { PATH } });
}

// frames

const bytes = (...parts: (Uint8Array | number[])[]) => Buffer.concat(parts.map((part) => Uint8Array.from(part)));
const u16 = (value: number) => [value >> 8, value & 0xff];
export const BROADCAST = 'ff:ff:ff:ff:ff:ff';

export function ethernet(to: string, from: string, type: number, payload: Uint8Array): Uint8Array {
  return bytes(macBytes(to), macBytes(from), u16(type), payload, new Uint8Array(46));
}

export function arp(mac: string, address: string, about: string, operation = 2): Uint8Array {
  return bytes(
    u16(1),
    u16(0x0800),
    [6, 4],
    u16(operation),
    macBytes(mac),
    addressBytes(address),
    new Uint8Array(6),
    addressBytes(about),
  );
}

/** UDP, with this text */
export function ipv4(from: string, to: string, text: string, port = 4000): Uint8Array {
  const udp = bytes(u16(port), u16(4000), u16(8 + text.length), u16(0), Buffer.from(text));
  const header = bytes(
    [0x45, 0],
    u16(20 + udp.length),
    u16(1),
    u16(0),
    [64, 17],
    u16(0),
    addressBytes(from),
    addressBytes(to),
  );
  header.writeUInt16BE(checksum(header), 10);
  return bytes(header, udp);
}

/** ICMPv6 of a type and what it is about, or UDP; with options in front if so wished */
export function ipv6(
  from: string,
  to: string,
  icmp?: { type: number; target: string },
  { options = false } = {},
): Uint8Array {
  const protocol = icmp ? 58 : 17;
  const payload = icmp
    ? bytes([icmp.type, 0], u16(0), new Uint8Array(4), addressBytes(icmp.target))
    : bytes(u16(4000), u16(4000), u16(8), u16(0));
  // RFC 8200 §4.3, §4.2: hop-by-hop options of eight bytes, all of them padding
  const whole = options ? bytes([protocol, 0, 1, 4, 0, 0, 0, 0], payload) : payload;
  const head = bytes([0x60, 0, 0, 0], u16(whole.length), [options ? 0 : protocol, 255]);
  return bytes(head, addressBytes(from), addressBytes(to), whole);
}
