/**
 * One netlink socket: requests to the kernel and its answers, one at a time, each over before the call returns. The
 * kernel answers within the sending call (netlink_unicast_kernel), so nothing here ever waits.
 *
 * The socket belongs to the network namespace in which it was made, wherever it is used: the kernel asks for the right
 * of its maker and of its user. It must not be shared with another process, for each would read the other's answers.
 * Numbers are of include/uapi/linux/netlink.h. What requests mean is for rtnetlink.ts and nftables.ts.
 */
import { constants } from 'node:os';
import { Fd, prepared } from '../fd.ts';
import { checked, SyscallError } from '../libc.ts';
import { systemCall } from '../system-call.ts';
import { aligned, readAttributes, textOf } from './netlink-attributes.ts';

/** bits/socket.h, asm-generic/socket.h (x86-64) */
const AF_NETLINK = 16;
const SOCK_RAW = 3;
const SOCK_CLOEXEC = 0o2000000;
const SOL_SOCKET = 1;
const SO_SNDBUF = 7;
const MSG_TRUNC = 0x20;
const MSG_DONTWAIT = 0x40;
const SOL_NETLINK = 270;

const PROTOCOLS = { rtnetlink: 0 /* NETLINK_ROUTE */, nf_tables: 12 /* NETLINK_NETFILTER */ };
/** socket options: an acknowledgement without the request, and with the kernel's words about it */
const NETLINK_CAP_ACK = 10;
const NETLINK_EXT_ACK = 11;

const NLM_F_REQUEST = 1;
const NLM_F_ACK = 4;
const NLM_F_DUMP = 0x300;
/** of answers: what is listed changed meanwhile */
const NLM_F_DUMP_INTR = 0x10;
/** of acknowledgements: the request is cut off, and attributes follow */
const NLM_F_CAPPED = 0x100;
const NLM_F_ACK_TLVS = 0x200;
const NLMSG_ERROR = 2;
const NLMSG_DONE = 3;
const NLMSGERR_ATTR_MSG = 1;

/** bytes of struct nlmsghdr: length, type, flags, sequence, port */
const HEADER = 16;
/** bytes of struct sockaddr_nl: family, padding, port, groups */
const SOCKADDR_NL = 12;
/** bytes; the kernel makes an answer to a dump at most 32 KiB long, any other is shorter */
const MAX_ANSWER = 65536;
/** datagrams; nobody's answer is so long, and no stranger's messages are read for ever */
const MAX_DATAGRAMS = 4096;
/** how often a list that changed meanwhile is asked for again */
const MAX_DUMPS = 8;
/** bytes; a third below net.core.wmem_default, from where a message needs a larger buffer */
const LARGE = 131072;

const { EAGAIN, EMSGSIZE, ENOBUFS } = constants.errno;

const c_socket = systemCall<(domain: number, type: number, protocol: number) => number>(
  'int socket(int domain, int type, int protocol)',
);
const c_setsockopt = systemCall<(fd: number, level: number, name: number, value: Int32Array, length: number) => number>(
  'int setsockopt(int fd, int level, int name, const int *value, unsigned int length)',
);
const c_sendto = systemCall<
  (fd: number, bytes: Uint8Array, length: number, flags: number, to: null, toLength: number) => number
>('int64_t sendto(int fd, const void *bytes, size_t length, int flags, const void *to, unsigned int to_length)');
const c_recvfrom = systemCall<
  (fd: number, bytes: Uint8Array, length: number, flags: number, from: Uint8Array, fromLength: Int32Array) => number
>('int64_t recvfrom(int fd, void *bytes, size_t length, int flags, void *from, void *from_length)');

/** The kernel's refusal of a request, with what was asked and, where it gives any, its words about it. */
export class NetlinkError extends SyscallError {
  override name = 'NetlinkError';
  readonly detail: string | undefined;

  constructor(protocol: string, errno: number, asked: string, detail?: string) {
    super(`${protocol}:`, errno, asked);
    this.detail = detail;
    if (detail !== undefined) this.message += ` (${detail})`;
  }
}

export interface NetlinkRequest {
  type: number;
  /** beside NLM_F_REQUEST and NLM_F_ACK */
  flags?: number;
  body: readonly Uint8Array[];
  /** what is asked, for errors: 'add link br0' */
  asked: string;
}

interface Answer {
  type: number;
  flags: number;
  sequence: number;
  body: Buffer;
}

/** shared by all sockets: a call is over, and its answer copied, before another one begins */
let answers: Buffer | undefined;

export class NetlinkSocket implements Disposable {
  readonly #fd: Fd;
  readonly #protocol: keyof typeof PROTOCOLS;
  #sequence = 0;
  #sendBuffer = LARGE;

  /** @param fd a socket of this protocol, of whatever namespace; closed with this object @throws SyscallError */
  constructor(fd: Fd, protocol: keyof typeof PROTOCOLS) {
    this.#protocol = protocol;
    this.#fd = prepared(fd, (number) => {
      // safe: each option is one int
      for (const option of [NETLINK_CAP_ACK, NETLINK_EXT_ACK])
        checked(c_setsockopt(number, SOL_NETLINK, option, Int32Array.of(1), 4), 'setsockopt', protocol);
    });
  }

  /** Of the network namespace this thread is in. @throws SyscallError */
  static make(protocol: keyof typeof PROTOCOLS): Fd {
    return new Fd(checked(c_socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, PROTOCOLS[protocol]), 'socket', protocol));
  }

  /** Something to be done. @throws NetlinkError */
  request(request: NetlinkRequest): void {
    this.transaction([request]);
  }

  /**
   * Requests in one datagram, of which the last is acknowledged; which of them belong together is for the protocol to
   * say. @throws NetlinkError of the first that the kernel refused
   */
  transaction(requests: readonly NetlinkRequest[], acknowledged = requests.length - 1): void {
    const first = this.#sequence + 1;
    this.#send(requests, (index) => (index === acknowledged ? NLM_F_ACK : 0));
    let refused: Answer | undefined;
    for (const answer of this.#receive(first, requests)) {
      if (answer.type !== NLMSG_ERROR) throw this.#unexpected(answer, requests[0]!.asked);
      if (errnoOf(answer) !== 0) refused ??= { ...answer, body: Buffer.from(answer.body) };
      else if (answer.sequence === first + acknowledged && !refused) return;
    }
    if (refused) throw this.#error(refused, requests[refused.sequence - first]!.asked);
    throw new NetlinkError(this.#protocol, EAGAIN, requests[0]!.asked, 'the kernel did not answer');
  }

  /** Something to be told: the body of the one answer. @throws NetlinkError */
  get(request: NetlinkRequest): Buffer {
    this.#send([request], () => 0);
    for (const answer of this.#receive(this.#sequence, [request])) {
      if (answer.type === NLMSG_ERROR) throw this.#error(answer, request.asked);
      return Buffer.from(answer.body);
    }
    throw new NetlinkError(this.#protocol, EAGAIN, request.asked, 'the kernel did not answer');
  }

  /** A list: the bodies of all answers. Asked for again when it changed meanwhile. @throws NetlinkError */
  dump(request: NetlinkRequest): Buffer[] {
    for (let tries = 0; tries < MAX_DUMPS; tries++) {
      const found = this.#dumpOnce(request);
      if (found) return found;
    }
    throw new NetlinkError(this.#protocol, EAGAIN, request.asked, 'it keeps changing');
  }

  #dumpOnce(request: NetlinkRequest): Buffer[] | undefined {
    const found: Buffer[] = [];
    let interrupted = false;
    this.#send([request], () => NLM_F_DUMP);
    for (const answer of this.#receive(this.#sequence, [request])) {
      interrupted ||= (answer.flags & NLM_F_DUMP_INTR) !== 0;
      if ((answer.type === NLMSG_ERROR || answer.type === NLMSG_DONE) && errnoOf(answer) !== 0)
        throw this.#error(answer, request.asked);
      if (answer.type === NLMSG_DONE) return interrupted ? undefined : found;
      found.push(Buffer.from(answer.body));
    }
    throw new NetlinkError(this.#protocol, EAGAIN, request.asked, 'the kernel did not end its answer');
  }

  /** For what tells when there is something to `hear`. */
  get descriptor(): number {
    return this.#fd.number;
  }

  /** What the kernel has sent by itself since: of one type. Some of it may be lost; never more than there was. */
  hear(type: number): Buffer[] {
    const heard: Buffer[] = [];
    // one datagram after another, and a copy of each: the next one is read into the same buffer
    for (const bytes of this.#datagrams())
      for (const message of messages(bytes)) if (message.type === type) heard.push(Buffer.from(message.body));
    return heard;
  }

  #send(requests: readonly NetlinkRequest[], flagsOf: (index: number) => number): void {
    const parts = requests.flatMap(({ type, flags = 0, body }, index) => {
      const length = body.reduce((sum, part) => sum + part.length, HEADER);
      const header = Buffer.alloc(HEADER);
      header.writeUInt32LE(length, 0);
      header.writeUInt16LE(type, 4);
      header.writeUInt16LE(flags | NLM_F_REQUEST | flagsOf(index), 6);
      header.writeUInt32LE(++this.#sequence, 8);
      return [header, ...body, Buffer.alloc(aligned(length) - length)];
    });
    const bytes = Buffer.concat(parts);
    if (bytes.length > this.#sendBuffer) {
      // the kernel doubles it, and takes no more than net.core.wmem_max; safe: one int
      c_setsockopt(this.#fd.number, SOL_SOCKET, SO_SNDBUF, Int32Array.of(bytes.length), 4);
      this.#sendBuffer = bytes.length;
    }
    // safe: the kernel reads the message's length; no address is the kernel's own
    const sent = c_sendto(this.#fd.number, bytes, bytes.length, 0, null, 0);
    if (sent < 0)
      throw new NetlinkError(
        this.#protocol,
        -sent,
        requests[0]!.asked,
        sent === -EMSGSIZE ? `${bytes.length} bytes at once` : undefined,
      );
  }

  /**
   * The answers to what was sent last, until there is none left; those to requests that failed earlier are passed over.
   */
  *#receive(first: number, requests: readonly NetlinkRequest[]): Generator<Answer> {
    for (const datagram of this.#datagrams(requests[0]!.asked))
      for (const answer of messages(datagram))
        if (answer.sequence >= first && answer.sequence < first + requests.length) yield answer;
  }

  /**
   * What waits, each to be read before the next. What did not come from the kernel is passed over: whoever has
   * CAP_NET_ADMIN in the namespace, as a container's root may, could send it.
   */
  *#datagrams(asked?: string): Generator<Buffer> {
    answers ??= Buffer.alloc(MAX_ANSWER);
    const from = Buffer.alloc(SOCKADDR_NL);
    for (let datagrams = 0; datagrams < MAX_DATAGRAMS; datagrams++) {
      // safe: the kernel writes at most the lengths given, and with MSG_TRUNC tells the true one
      const length = c_recvfrom(
        this.#fd.number,
        answers,
        answers.length,
        MSG_DONTWAIT | MSG_TRUNC,
        from,
        Int32Array.of(SOCKADDR_NL),
      );
      if (length === -EAGAIN) return;
      // some were lost, of a transaction with many errors say; those that came first are there
      if (length === -ENOBUFS) continue;
      if (length < 0) throw new NetlinkError(this.#protocol, -length, asked ?? 'receive');
      if (from.readUInt32LE(4) !== 0) continue;
      if (length > answers.length) throw new NetlinkError(this.#protocol, EMSGSIZE, asked ?? 'receive');
      yield answers.subarray(0, length);
    }
  }

  #error(answer: Answer, asked: string): NetlinkError {
    return new NetlinkError(this.#protocol, errnoOf(answer), asked, wordsOf(answer));
  }

  #unexpected(answer: Answer, asked: string): Error {
    return new Error(`${this.#protocol} answered with a message of type ${answer.type} to: ${asked}`);
  }

  [Symbol.dispose](): void {
    this.#fd.close();
  }
}

function* messages(bytes: Buffer): Generator<Answer> {
  for (let at = 0; at + HEADER <= bytes.length;) {
    const length = bytes.readUInt32LE(at);
    if (length < HEADER || at + length > bytes.length) return;
    yield {
      type: bytes.readUInt16LE(at + 4),
      flags: bytes.readUInt16LE(at + 6),
      sequence: bytes.readUInt32LE(at + 8),
      body: bytes.subarray(at + HEADER, at + length),
    };
    at += aligned(length);
  }
}

/** struct nlmsgerr, and what ends a dump, begin with the errno, negated. */
function errnoOf(answer: Answer): number {
  return answer.body.length < 4 ? 0 : -answer.body.readInt32LE(0);
}

/** The kernel's words in an acknowledgement: behind the errno and the request, or the request's header alone. */
function wordsOf({ type, flags, body }: Answer): string | undefined {
  if (type !== NLMSG_ERROR || !(flags & NLM_F_ACK_TLVS) || body.length < 4 + HEADER) return undefined;
  const request = flags & NLM_F_CAPPED ? HEADER : aligned(body.readUInt32LE(4));
  const text = readAttributes(body.subarray(4 + request)).get(NLMSGERR_ATTR_MSG);
  return text && textOf(text);
}
