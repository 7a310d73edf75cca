/**
 * The kernel's log of packets, of one network namespace: what rules hand to a group (nftables-expressions.ts, `logTo`)
 * comes to whoever has bound it. A group has one reader; where one is taken the next is tried. Numbers are of
 * include/uapi/linux/netfilter/nfnetlink_log.h.
 */
import { constants } from 'node:os';
import { duplicate } from '../descriptors.ts';
import { Fd } from '../fd.ts';
import { attribute, be32, readAttributes, textOf } from './netlink-attributes.ts';
import { NetlinkError, NetlinkSocket } from './netlink-socket.ts';
import { watchReadable } from './poll.ts';

const NFNL_SUBSYS_ULOG = 4;
/** bits to the left of a message's type */
const SUBSYSTEM = 8;
const NFULNL_MSG_PACKET = 0;
const NFULNL_MSG_CONFIG = 1;
const NFULA_CFG_CMD = 1;
const NFULA_CFG_MODE = 2;
const NFULNL_CFG_CMD_BIND = 1;
const NFULNL_COPY_PACKET = 2;
const NFULA_PAYLOAD = 9;
const NFULA_PREFIX = 10;
/** bytes of struct nfgenmsg: family, version, resource */
const GENERAL_MESSAGE = 4;
const GROUPS = 0x1_0000;
/** what the kernel says of a group that is another's (nfulnl_recv_config, instance_create) */
const TAKEN: ReadonlySet<number> = new Set([constants.errno.EPERM, constants.errno.EBUSY]);
/** how many groups are tried */
const TRIES = 64;

export interface LoggedPacket {
  /** that of the rule */
  word: string;
  /** from the network header on, as many bytes as the rule says */
  bytes: Buffer;
}

export interface PacketLog extends Disposable {
  readonly group: number;
  /** Reads no more. @returns a descriptor by which another process goes on (`takePacketLog`): the group stays bound */
  release(): Fd;
}

type Told = (packet: LoggedPacket) => void;

/**
 * @param fd a netfilter socket of that namespace, the log's from here on
 * @param first the group that is tried first
 * @throws NetlinkError where the kernel has no such log, or every group that was tried has a reader
 */
export function openPacketLog(fd: Fd, first: number, told: Told): PacketLog {
  const socket = new NetlinkSocket(fd, 'nf_tables');
  try {
    return heed(socket, bindGroup(socket, first), told);
  } catch (error) {
    socket[Symbol.dispose]();
    throw error;
  }
}

/** @param fd of one that was released, the log's from here on @param group that it is bound to */
export function takePacketLog(fd: Fd, group: number, told: Told): PacketLog {
  return heed(new NetlinkSocket(fd, 'nf_tables'), group, told);
}

function heed(socket: NetlinkSocket, group: number, told: Told): PacketLog {
  const { descriptor } = socket;
  const watch = watchReadable(descriptor, () => {
    for (const body of socket.hear((NFNL_SUBSYS_ULOG << SUBSYSTEM) | NFULNL_MSG_PACKET)) {
      const packet = readLogged(body);
      if (packet) told(packet);
    }
  });
  // it is no reason to live
  watch.unref();
  const close = () => {
    watch.close();
    socket[Symbol.dispose]();
  };
  return {
    group,
    release: () => {
      const copy = new Fd(duplicate(descriptor));
      close();
      return copy;
    },
    [Symbol.dispose]: close,
  };
}

function bindGroup(socket: NetlinkSocket, first: number): number {
  for (let tries = 1; ; tries++) {
    const group = (first + tries - 1) % GROUPS;
    const configure = (...parts: Uint8Array[]) =>
      socket.request({
        type: (NFNL_SUBSYS_ULOG << SUBSYSTEM) | NFULNL_MSG_CONFIG,
        body: [Uint8Array.of(0, 0, group >> 8, group & 0xff), ...parts],
        asked: `bind log group ${group}`,
      });
    try {
      configure(attribute(NFULA_CFG_CMD, Uint8Array.of(NFULNL_CFG_CMD_BIND)));
      // struct nfulnl_msg_config_mode: how much, mode, padding. The rule says how much
      configure(attribute(NFULA_CFG_MODE, be32(0xffff), Uint8Array.of(NFULNL_COPY_PACKET, 0)));
      return group;
    } catch (error) {
      if (!(error instanceof NetlinkError) || !TAKEN.has(error.errno) || tries === TRIES) throw error;
    }
  }
}

/** What one message of the kernel's tells; undefined for one that tells nothing. Pure. */
export function readLogged(body: Buffer): LoggedPacket | undefined {
  const parts = readAttributes(body.subarray(GENERAL_MESSAGE));
  const [bytes, word] = [parts.get(NFULA_PAYLOAD), parts.get(NFULA_PREFIX)];
  return bytes && { bytes, word: word ? textOf(word) : '' };
}
