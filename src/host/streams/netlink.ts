/**
 * Network interfaces by rtnetlink(7): one socket in one network namespace, one request at a time, each acknowledged by
 * the kernel before the call returns. Numbers are of include/uapi/linux/{netlink,rtnetlink,if_link,if_addr}.h.
 */
import { Fd, open } from '../fd.ts';
import { checked, libraryFunction, SyscallError } from '../libc.ts';
import { systemCall } from '../system-call.ts';

/** bits/socket.h, linux/netlink.h (x86-64) */
const AF_INET = 2;
const AF_INET6 = 10;
const AF_NETLINK = 16;
const SOCK_RAW = 3;
const SOCK_CLOEXEC = 0o2000000;
const NETLINK_ROUTE = 0;
const CLONE_NEWNET = 0x40000000;

const NLM_F_REQUEST = 1;
const NLM_F_ACK = 4;
const NLM_F_REPLACE = 0x100;
const NLM_F_CREATE = 0x400;
const NLMSG_ERROR = 2;

const RTM_NEWLINK = 16;
const RTM_NEWADDR = 20;
const RTM_NEWROUTE = 24;

const IFF_UP = 1;
const IFLA_NET_NS_PID = 19;
const IFA_ADDRESS = 1;
const IFA_LOCAL = 2;
const IFA_BROADCAST = 4;
const IFA_FLAGS = 8;
/** whoever gave the address vouches that nobody else has it: usable at once (RFC 4862 §5.4) */
const IFA_F_NODAD = 2;
const RTA_OIF = 4;
const RTA_GATEWAY = 5;
const RT_TABLE_MAIN = 254;
const RTPROT_BOOT = 3;
const RT_SCOPE_UNIVERSE = 0;
const RT_SCOPE_LINK = 253;
const RTN_UNICAST = 1;
const RTNH_F_ONLINK = 4;

/** struct nlmsghdr; struct nlmsgerr begins behind it with the errno, negated */
const HEADER = 16;
/** bytes: an acknowledgement carries the request back */
const MAX_REPLY = 4096;

const socket = systemCall<(domain: number, type: number, protocol: number) => number>(
  'int socket(int domain, int type, int protocol)',
);
const c_send = systemCall<
  (fd: number, bytes: Uint8Array, length: number, flags: number, to: null, toLength: number) => number
>('int64_t sendto(int fd, const void *bytes, size_t length, int flags, const void *to, unsigned int to_length)');
const c_recv = systemCall<
  (fd: number, bytes: Uint8Array, length: number, flags: number, from: null, fromLength: null) => number
>('int64_t recvfrom(int fd, void *bytes, size_t length, int flags, void *from, void *from_length)');
const c_setns = systemCall<(fd: number, type: number) => number>('int setns(int fd, int type)');
const c_inet_pton = libraryFunction<(family: number, text: string, bytes: Uint8Array) => number>(
  'int inet_pton(int family, const char *text, void *bytes)',
);
const c_if_nametoindex = libraryFunction<(name: string) => number>('unsigned int if_nametoindex(const char *name)');

/** An IP address as text → 4 or 16 bytes. @throws TypeError */
export function addressBytes(text: string): Uint8Array {
  const family = text.includes(':') ? AF_INET6 : AF_INET;
  const bytes = new Uint8Array(16); // safe: struct in6_addr, the longer one
  if (c_inet_pton(family, text, bytes) !== 1) throw new TypeError(`"${text}" is no IP address`);
  return family === AF_INET6 ? bytes : bytes.subarray(0, 4);
}

/** struct rtattr: u16 length with itself, u16 type, value, padded to four bytes */
function attribute(type: number, value: Uint8Array): Uint8Array {
  const bytes = Buffer.alloc((4 + value.length + 3) & ~3);
  bytes.writeUInt16LE(4 + value.length, 0);
  bytes.writeUInt16LE(type, 2);
  bytes.set(value, 4);
  return bytes;
}

function u32(value: number): Uint8Array {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(value);
  return bytes;
}

const family = (address: Uint8Array) => (address.length === 4 ? AF_INET : AF_INET6);

export class Rtnetlink implements Disposable {
  readonly #fd: Fd;
  #sequence = 0;

  private constructor(fd: Fd) {
    this.#fd = fd;
  }

  /** Of the network namespace this thread is in. @throws SyscallError */
  static open(): Rtnetlink {
    return new Rtnetlink(new Fd(checked(socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE), 'socket')));
  }

  /** To the network namespace of a process. The interface arrives down and without addresses. @throws SyscallError */
  moveLink(index: number, pid: number): void {
    this.#request(RTM_NEWLINK, 0, [linkMessage(index, 0), attribute(IFLA_NET_NS_PID, u32(pid))]);
  }

  /** @throws SyscallError */
  setUp(index: number): void {
    this.#request(RTM_NEWLINK, 0, [linkMessage(index, IFF_UP)]);
  }

  /** @param prefix bits of the network @throws SyscallError */
  addAddress(index: number, address: Uint8Array, prefix: number): void {
    const message = Buffer.alloc(8); // struct ifaddrmsg: family, prefix, flags, scope, index
    message[0] = family(address);
    message[1] = prefix;
    message.writeUInt32LE(index, 4);
    const own =
      address.length === 4
        ? [attribute(IFA_LOCAL, address), ...broadcast(address, prefix)]
        : [attribute(IFA_FLAGS, u32(IFA_F_NODAD))];
    this.#request(RTM_NEWADDR, NLM_F_CREATE | NLM_F_REPLACE, [message, attribute(IFA_ADDRESS, address), ...own]);
  }

  /**
   * @param gateway absent: everything is on the link @param options.onLink the gateway is reached directly, whatever
   * the addresses say @throws SyscallError
   */
  addDefaultRoute(index: number, route: { family: 4 | 6; gateway?: Uint8Array; onLink?: boolean }): void {
    const message = Buffer.alloc(12); // struct rtmsg: family, lengths, tos, table, protocol, scope, type, flags
    message[0] = route.family === 4 ? AF_INET : AF_INET6;
    message[4] = RT_TABLE_MAIN;
    message[5] = RTPROT_BOOT;
    message[6] = route.gateway === undefined ? RT_SCOPE_LINK : RT_SCOPE_UNIVERSE;
    message[7] = RTN_UNICAST;
    message.writeUInt32LE(route.onLink ? RTNH_F_ONLINK : 0, 8);
    this.#request(RTM_NEWROUTE, NLM_F_CREATE | NLM_F_REPLACE, [
      message,
      attribute(RTA_OIF, u32(index)),
      ...(route.gateway === undefined ? [] : [attribute(RTA_GATEWAY, route.gateway)]),
    ]);
  }

  #request(type: number, flags: number, parts: readonly Uint8Array[]): void {
    const body = Buffer.concat(parts);
    const header = Buffer.alloc(HEADER); // length, type, flags, sequence, port
    header.writeUInt32LE(HEADER + body.length, 0);
    header.writeUInt16LE(type, 4);
    header.writeUInt16LE(flags | NLM_F_REQUEST | NLM_F_ACK, 6);
    header.writeUInt32LE(++this.#sequence, 8);
    const message = Buffer.concat([header, body]);
    // safe: the kernel reads the message's length and writes at most the reply's
    checked(c_send(this.#fd.number, message, message.length, 0, null, 0), 'send', 'rtnetlink');
    const reply = Buffer.alloc(MAX_REPLY);
    const length = checked(c_recv(this.#fd.number, reply, reply.length, 0, null, null), 'recv', 'rtnetlink');
    if (length < HEADER + 4 || reply.readUInt16LE(4) !== NLMSG_ERROR)
      throw new Error(`rtnetlink answered ${length} bytes of type ${reply.readUInt16LE(4)}`);
    const errno = -reply.readInt32LE(HEADER);
    if (errno !== 0) throw new SyscallError('rtnetlink', errno);
  }

  [Symbol.dispose](): void {
    this.#fd.close();
  }
}

function linkMessage(index: number, up: number): Uint8Array {
  const message = Buffer.alloc(16); // struct ifinfomsg: family, type, index, flags, which flags
  message.writeInt32LE(index, 4);
  message.writeUInt32LE(up, 8);
  message.writeUInt32LE(up, 12);
  return message;
}

/** As ip(8) does it with `brd +`: every host bit set; none for networks of one or two addresses (RFC 3021). */
function broadcast(address: Uint8Array, prefix: number): Uint8Array[] {
  if (prefix >= 31) return [];
  const all = Buffer.from(address);
  all.writeUInt32BE((all.readUInt32BE(0) | (2 ** (32 - prefix) - 1)) >>> 0, 0);
  return [attribute(IFA_BROADCAST, all)];
}

/** 0 when this thread's network namespace has none of that name. */
export function interfaceIndex(name: string): number {
  return c_if_nametoindex(name);
}

/**
 * Does something in the network namespace of a process. Only this thread is there, and only until `work` returns: it
 * must not wait.
 * @throws SyscallError
 */
export function inNetworkNamespace<T>(pid: number, work: () => T): T {
  using own = open('/proc/thread-self/ns/net', 0);
  using theirs = open(`/proc/${pid}/ns/net`, 0);
  checked(c_setns(theirs.number, CLONE_NEWNET), 'setns', `/proc/${pid}/ns/net`);
  try {
    return work();
  } finally {
    checked(c_setns(own.number, CLONE_NEWNET), 'setns', 'the own network namespace');
  }
}
