/**
 * The expressions that rules of nf_tables are made of, as the kernel takes them: each loads something into a register,
 * compares one, or acts. Named after what nft(8) prints for them. Numbers are of
 * include/uapi/linux/netfilter/nf_tables.h. Pure: which rules there are is for others to say.
 */
import { attribute, be32, be64, cString, nested, readAttributes, textOf, u32, u8 } from './netlink-attributes.ts';

export type Expression = Uint8Array;

export const NFTA_LIST_ELEM = 1;
const NFTA_EXPR_NAME = 1;
const NFTA_EXPR_DATA = 2;

export const NFTA_DATA_VALUE = 1;
const NFTA_DATA_VERDICT = 2;
const NFTA_VERDICT_CODE = 1;
const NFTA_VERDICT_CHAIN = 2;
/** linux/netfilter.h, and those of nf_tables itself, which name a chain */
const VERDICTS = { drop: 0, accept: 1, jump: -3, goto: -4, return: -5 };

/** enum nft_registers: the verdict's, and the first of sixteen of four bytes each */
const NFT_REG_VERDICT = 0;
const NFT_REG32_00 = 8;
/** bytes of a register; a longer value takes the next ones too */
const REGISTER = 4;

const NFTA_IMMEDIATE_DREG = 1;
const NFTA_IMMEDIATE_DATA = 2;
const NFTA_META_DREG = 1;
const NFTA_META_KEY = 2;
const NFTA_META_SREG = 3;
const NFTA_CMP_SREG = 1;
const NFTA_CMP_OP = 2;
const NFTA_CMP_DATA = 3;
const NFTA_BITWISE_SREG = 1;
const NFTA_BITWISE_DREG = 2;
const NFTA_BITWISE_LEN = 3;
const NFTA_BITWISE_MASK = 4;
const NFTA_BITWISE_XOR = 5;
const NFTA_LOOKUP_SET = 1;
const NFTA_LOOKUP_SREG = 2;
const NFTA_LOOKUP_DREG = 3;
const NFTA_LOOKUP_FLAGS = 5;
const NFT_LOOKUP_F_INV = 1;
const NFTA_DYNSET_SET_NAME = 1;
const NFTA_DYNSET_OP = 3;
const NFTA_DYNSET_SREG_KEY = 4;
const NFTA_DYNSET_EXPR = 7;
const NFT_DYNSET_OP_ADD = 0;
const NFTA_CONNLIMIT_COUNT = 1;
const NFTA_CONNLIMIT_FLAGS = 2;
/** matches above the count, not below */
const NFT_CONNLIMIT_F_INV = 1;
const NFTA_PAYLOAD_DREG = 1;
const NFTA_PAYLOAD_BASE = 2;
const NFTA_PAYLOAD_OFFSET = 3;
const NFTA_PAYLOAD_LEN = 4;
const NFTA_PAYLOAD_SREG = 5;
const NFTA_PAYLOAD_CSUM_TYPE = 6;
const NFTA_PAYLOAD_CSUM_OFFSET = 7;
const NFT_PAYLOAD_CSUM_INET = 1;
const NFTA_CT_DREG = 1;
const NFTA_CT_KEY = 2;
const NFT_CT_STATE = 0;
const NFTA_SOCKET_KEY = 1;
const NFTA_SOCKET_DREG = 2;
const NFT_SOCKET_TRANSPARENT = 0;
const NFTA_LIMIT_RATE = 1;
const NFTA_LIMIT_UNIT = 2;
const NFTA_LIMIT_BURST = 3;
const NFTA_LIMIT_TYPE = 4;
const NFT_LIMIT_PKTS = 0;
const NFTA_LOG_GROUP = 1;
const NFTA_LOG_PREFIX = 2;
const NFTA_LOG_SNAPLEN = 3;
const NFTA_LOG_QTHRESHOLD = 4;
const NFTA_REJECT_TYPE = 1;
const NFTA_REJECT_ICMP_CODE = 2;
const NFT_REJECT_TCP_RST = 1;
const NFT_REJECT_ICMPX_UNREACH = 2;
const NFT_REJECT_ICMPX_ADMIN_PROHIBITED = 3;

/** enum nft_meta_keys */
const META = { mark: 3, iifname: 6, oifname: 7, nfproto: 15, l4proto: 16 };
/** enum nft_payload_bases */
const BASES = { link: 0, network: 1, transport: 2 };
/** enum nft_cmp_ops */
const COMPARISONS = { eq: 0, neq: 1, lte: 3, gte: 5 };
/** linux/netfilter/nf_conntrack_common.h: bits by the order of enum ip_conntrack_info, and that of what fits no flow */
const STATES = { invalid: 1, established: 2, related: 4, new: 8 };

export type Verdict = 'accept' | 'drop' | 'return' | { jump: string } | { goto: string };
export type ConnectionState = keyof typeof STATES;

function expression(name: string, ...data: readonly Uint8Array[]): Expression {
  return nested(NFTA_LIST_ELEM, attribute(NFTA_EXPR_NAME, cString(name)), nested(NFTA_EXPR_DATA, ...data));
}

const value = (type: number, bytes: Uint8Array) => nested(type, attribute(NFTA_DATA_VALUE, bytes));

/** What an element of a verdict map holds, and what a verdict puts into its register. */
export function verdictData(verdict: Verdict): Uint8Array {
  const [code, chain] =
    typeof verdict === 'string'
      ? [VERDICTS[verdict]]
      : 'jump' in verdict
        ? [VERDICTS.jump, verdict.jump]
        : [VERDICTS.goto, verdict.goto];
  const target = chain === undefined ? [] : [attribute(NFTA_VERDICT_CHAIN, cString(chain))];
  return nested(NFTA_DATA_VERDICT, attribute(NFTA_VERDICT_CODE, be32(code)), ...target);
}

/** The chain that the kernel says an element of a verdict map leads to; undefined: it leads to none. */
export function verdictChain(data: Buffer): string | undefined {
  const verdict = readAttributes(data).get(NFTA_DATA_VERDICT);
  const chain = verdict && readAttributes(verdict).get(NFTA_VERDICT_CHAIN);
  return chain && textOf(chain);
}

export function verdict(what: Verdict): Expression {
  const register = attribute(NFTA_IMMEDIATE_DREG, be32(NFT_REG_VERDICT));
  return expression('immediate', register, nested(NFTA_IMMEDIATE_DATA, verdictData(what)));
}

/** @param at byte of the registers to load to, where several values make one key */
export function meta(key: keyof typeof META, at = 0): Expression {
  return expression('meta', attribute(NFTA_META_KEY, be32(META[key])), attribute(NFTA_META_DREG, register(at)));
}

/** Bytes of the packet. @param at as for meta */
export function payload(base: keyof typeof BASES, offset: number, length: number, at = 0): Expression {
  return expression('payload', attribute(NFTA_PAYLOAD_DREG, register(at)), ...place(base, offset, length));
}

/** Continues when what was loaded is (not) these bytes, or is as a number at most or at least that. */
export function compare(bytes: Uint8Array, how: keyof typeof COMPARISONS = 'eq'): Expression {
  const operation = attribute(NFTA_CMP_OP, be32(COMPARISONS[how]));
  return expression('cmp', attribute(NFTA_CMP_SREG, register(0)), operation, value(NFTA_CMP_DATA, bytes));
}

/** Keeps these bits of what was loaded. */
export function mask(bits: Uint8Array): Expression {
  return expression(
    'bitwise',
    attribute(NFTA_BITWISE_SREG, register(0)),
    attribute(NFTA_BITWISE_DREG, register(0)),
    attribute(NFTA_BITWISE_LEN, be32(bits.length)),
    value(NFTA_BITWISE_MASK, bits),
    value(NFTA_BITWISE_XOR, new Uint8Array(bits.length)),
  );
}

/** Continues when what was loaded is in the set; with `absent` when it is not. */
export function lookup(set: string, { absent = false } = {}): Expression {
  const flags = absent ? [attribute(NFTA_LOOKUP_FLAGS, be32(NFT_LOOKUP_F_INV))] : [];
  return expression(
    'lookup',
    attribute(NFTA_LOOKUP_SET, cString(set)),
    attribute(NFTA_LOOKUP_SREG, register(0)),
    ...flags,
  );
}

/** The verdict that the map has for what was loaded; continues when it has none. */
export function verdictMap(map: string): Expression {
  return expression(
    'lookup',
    attribute(NFTA_LOOKUP_SET, cString(map)),
    attribute(NFTA_LOOKUP_SREG, register(0)),
    attribute(NFTA_LOOKUP_DREG, be32(NFT_REG_VERDICT)),
  );
}

/** Counts the connections for each key, in a dynamic set; continues above so many. */
export function connectionsOver(set: string, count: number): Expression {
  const limit = [
    attribute(NFTA_CONNLIMIT_COUNT, be32(count)),
    attribute(NFTA_CONNLIMIT_FLAGS, be32(NFT_CONNLIMIT_F_INV)),
  ];
  return expression(
    'dynset',
    attribute(NFTA_DYNSET_SET_NAME, cString(set)),
    attribute(NFTA_DYNSET_OP, be32(NFT_DYNSET_OP_ADD)),
    attribute(NFTA_DYNSET_SREG_KEY, register(0)),
    nested(NFTA_DYNSET_EXPR, attribute(NFTA_EXPR_NAME, cString('connlimit')), nested(NFTA_EXPR_DATA, ...limit)),
  );
}

export function connectionState(...states: readonly ConnectionState[]): Expression[] {
  const bits = states.reduce((sum, state) => sum | STATES[state], 0);
  const load = [attribute(NFTA_CT_KEY, be32(NFT_CT_STATE)), attribute(NFTA_CT_DREG, register(0))];
  return [expression('ct', ...load), mask(u32(bits)), compare(u32(0), 'neq')];
}

/** Continues when a transparent socket of this namespace waits for the packet. */
export function transparentSocket(): Expression[] {
  const load = [attribute(NFTA_SOCKET_KEY, be32(NFT_SOCKET_TRANSPARENT)), attribute(NFTA_SOCKET_DREG, register(0))];
  return [expression('socket', ...load), compare(u8(1))];
}

export function setMark(mark: number): Expression[] {
  return [
    immediate(u32(mark)),
    expression('meta', attribute(NFTA_META_KEY, be32(META.mark)), attribute(NFTA_META_SREG, register(0))),
  ];
}

/** Writes into the packet's transport header, and puts its checksum right. @param checksum its place in the header */
export function setTransport(offset: number, bytes: Uint8Array, checksum: number): Expression[] {
  const source = [attribute(NFTA_PAYLOAD_SREG, register(0)), ...place('transport', offset, bytes.length)];
  const sum = [
    attribute(NFTA_PAYLOAD_CSUM_TYPE, be32(NFT_PAYLOAD_CSUM_INET)),
    attribute(NFTA_PAYLOAD_CSUM_OFFSET, be32(checksum)),
  ];
  return [immediate(bytes), expression('payload', ...source, ...sum)];
}

/** Continues for so many packets a second, and for so many more at once. */
export function atMost(packets: number, burst: number): Expression {
  return expression(
    'limit',
    attribute(NFTA_LIMIT_RATE, be64(packets)),
    attribute(NFTA_LIMIT_UNIT, be64(1)),
    attribute(NFTA_LIMIT_BURST, be32(burst)),
    attribute(NFTA_LIMIT_TYPE, be32(NFT_LIMIT_PKTS)),
  );
}

/** Hands the packet's first bytes to whoever has bound the group (packet-log.ts), with a word about it; continues. */
export function logTo(group: number, word: string, bytes: number): Expression {
  return expression(
    'log',
    attribute(NFTA_LOG_GROUP, Uint8Array.of(group >> 8, group & 0xff)),
    attribute(NFTA_LOG_PREFIX, cString(word)),
    attribute(NFTA_LOG_SNAPLEN, be32(bytes)),
    attribute(NFTA_LOG_QTHRESHOLD, Uint8Array.of(0, 1)),
  );
}

export function masquerade(): Expression {
  return expression('masq');
}

/** Ends a TCP connection: only behind a match of that protocol. */
export function rejectWithReset(): Expression {
  return expression(
    'reject',
    attribute(NFTA_REJECT_TYPE, be32(NFT_REJECT_TCP_RST)),
    attribute(NFTA_REJECT_ICMP_CODE, u8(0)),
  );
}

/** By ICMP or ICMPv6, as the packet is. */
export function rejectProhibited(): Expression {
  return expression(
    'reject',
    attribute(NFTA_REJECT_TYPE, be32(NFT_REJECT_ICMPX_UNREACH)),
    attribute(NFTA_REJECT_ICMP_CODE, u8(NFT_REJECT_ICMPX_ADMIN_PROHIBITED)),
  );
}

function immediate(bytes: Uint8Array): Expression {
  return expression('immediate', attribute(NFTA_IMMEDIATE_DREG, register(0)), value(NFTA_IMMEDIATE_DATA, bytes));
}

function register(at: number): Uint8Array {
  return be32(NFT_REG32_00 + at / REGISTER);
}

function place(base: keyof typeof BASES, offset: number, length: number): Uint8Array[] {
  return [
    attribute(NFTA_PAYLOAD_BASE, be32(BASES[base])),
    attribute(NFTA_PAYLOAD_OFFSET, be32(offset)),
    attribute(NFTA_PAYLOAD_LEN, be32(length)),
  ];
}
